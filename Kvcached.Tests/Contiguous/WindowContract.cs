using Kvcached.Devices;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Contiguous;

/// <summary>What may be asked of windows and lanes with them, and that all else is a typed error which changes nothing, whoever has the engine.</summary>
public abstract class WindowContract(CacheKind kind)
{
    [Fact]
    public void A_window_has_bytes_from_its_first_step_until_its_sequence_is_evicted_and_none_once_it_is_closed()
    {
        using var rig = Open();
        var lane = rig.OpenLane(windows: true);
        var sequence = lane.Create();
        var window = sequence.Sequence.OpenWindow();
        Assert.Equal(0, window.Bytes);
        lane.Begin(16, sequence);
        lane.Wait();
        rig.Cache.Pump();
        Assert.Equal(KvCacheOptions.UnitBytes, window.Bytes);
        Assert.Equal(KvCacheOptions.UnitBytes, rig.Cache.GetStatistics().WindowBytes);
        sequence.Sequence.Evict(lane.Lane);
        Assert.Equal(0, window.Bytes);

        lane.Begin(1, sequence);
        lane.Wait();
        Assert.Equal(KvCacheOptions.UnitBytes, window.Bytes);
        window.Close();
        Rejects("is not open", () => _ = window.Bytes);
        Assert.Equal(0, sequence.Sequence.OpenWindow().Bytes);
    }

    [Fact]
    public void A_window_that_breaks_the_contract_is_refused()
    {
        using var rig = Open();
        var lane = rig.OpenLane(windows: true);
        var sequence = lane.Create().Sequence;
        var window = sequence.OpenWindow();
        Rejects("The window of layout 0 of sequence", () => sequence.OpenWindow());
        Rejects("layout is 1; it must be 0 to 0", () => sequence.OpenWindow(1));
        Rejects("layout is -1; it must be 0 to 0", () => sequence.OpenWindow(-1));
        window.Close();
        Rejects("is not open", window.Close);
        Rejects("is not open", () => _ = window.Bytes);
        var sliding = rig.Cache.RegisterModel("sliding", CacheRig.Layout with { WindowTokens = 40 }).CreateSequence();
        Rejects("Layout 0 has a sliding window", () => sliding.OpenWindow());
        window = sequence.OpenWindow();
        sequence.Free();
        Assert.Equal(KvError.StaleHandle, Assert.Throws<KvException>(window.Close).Error);

        // The sequence that gets its place has none.
        Rejects("is not open", () => _ = new KvWindow(rig.Model.CreateSequence(), 0).Bytes);
    }

    [Fact]
    public void A_lane_without_windows_takes_no_sequence_that_has_one_and_has_no_addresses()
    {
        using var rig = Open();
        var lane = rig.OpenLane();
        var sequence = lane.Create();
        var window = sequence.Sequence.OpenWindow();
        Rejects("the lane was opened without windows", () => lane.Begin(1, sequence));
        window.Close();
        lane.Begin(1, sequence);
        Rejects("The lane was opened without windows", () => lane.Step.WindowsAddress());
        Rejects("The lane was opened without windows", () => lane.Step.StoreWindows(new CommandList()));
        lane.ExpectAllRight();
    }

    [Fact]
    public void Steps_that_are_not_among_the_last_and_layouts_that_are_not_there_have_no_windows_to_store()
    {
        using var rig = Open();
        var lane = rig.OpenLane(depth: 1, windows: true);
        var sequence = lane.Create();
        lane.Begin(1, sequence);
        lane.Wait();
        var first = lane.Step;

        // A daemon may learn of the end a little later than the client.
        Assert.True(SpinWait.SpinUntil(() => lane.Begin(1, sequence) != KvStepStatus.TooManySteps, CacheRig.Limit));
        Rejects("Step 1 is not one of the lane's last 1", () => first.StoreWindows(new CommandList()));
        Rejects("layout is 1; it must be 0 to 0", () => lane.Step.StoreWindows(new CommandList(), layout: 1));
        Rejects("layout is 4; it must be 0 to 3", () => lane.Step.WindowsAddress(4));
        Assert.Throws<ArgumentNullException>("commands", () => lane.Step.StoreWindows(null!));
        lane.ExpectAllRight();
    }

    private CacheRig Open() => new(poolUnits: 4, kind: kind);

    private static void Rejects(string message, Action call)
    {
        var thrown = Assert.Throws<KvException>(call);
        Assert.Equal(KvError.InvalidArgument, thrown.Error);
        Assert.Contains(message, thrown.Message, StringComparison.Ordinal);
    }
}

public sealed class EmbeddedWindowContract() : WindowContract(CacheKind.Embedded);

public sealed class ServedWindowContract() : WindowContract(CacheKind.Served);
