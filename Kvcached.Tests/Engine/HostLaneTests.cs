using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>What the host makes of a device for a lane, and gives back when the lane's client has died.</summary>
public sealed class HostLaneTests : IDisposable
{
    private static readonly KvLaneOptions _options = new() { Depth = 4, MaxBatch = 4, MaxLayouts = 1 };

    private readonly SimDevice _device = new(seed: 1);
    private readonly EngineHost _host;
    private SequenceHandle _sequence;

    public HostLaneTests() => _host = new EngineHost(_device, new EngineSizes { PoolBytes = 64 << 10, ColdBytes = 0, TableBytes = 4096, UnitBytes = 4096, RowUnitBytes = 512, CleanAheadBlocks = 0 });

    public void Dispose()
    {
        _host.Dispose();
        _device.Dispose();
        Assert.Empty(_device.Leaks);
    }

    [Fact]
    public void A_step_of_a_client_that_is_gone_is_ended_once_it_has_begun_and_again_whenever_that_was_written_over()
    {
        using var end = new WritableTimeline();
        var lane = OpenWithStep(end);
        _device.RunUntilIdle();
        Begin(lane);
        _host.Engine.Condemn(lane.Client);
        _host.Turn();
        Assert.Equal(0UL, end.Value);

        _host.Engine.ProveGone(lane.Client);
        for (var turn = 0; turn < 3; turn++)
        {
            end.Word = 0;
            _host.Turn();
            Assert.Equal(1UL, end.Value);
        }

        // It may have died after it signalled, before it woke who waits.
        var signals = end.Signals;
        _host.Turn();
        Assert.Equal((signals + 1, 1UL), (end.Signals, end.Value));

        end.Word = ulong.MaxValue;
        _host.Turn();
        Assert.Equal((ulong.MaxValue, ClientLife.Gone), (end.Value, lane.Client.Life));
    }

    [Fact]
    public void All_that_was_made_of_a_dead_clients_lane_is_given_back_but_what_was_brought()
    {
        using var end = new WritableTimeline();
        var before = _host.DeviceBytes;
        var lane = OpenWithStep(end);
        Assert.True(_host.DeviceBytes > before);
        _host.Engine.ProveGone(lane.Client);
        _host.Turn();
        Assert.NotNull(_device.FindQueue("lane 1 in"));

        Bury(lane.Client);

        Assert.Equal(before, _host.DeviceBytes);
        Assert.Equal((null, null), (_device.FindQueue("lane 1 in"), _device.FindQueue("lane 1 out")));
        Assert.False(end.IsDisposed);
    }

    [Fact]
    public void A_lane_that_takes_a_dead_ones_number_has_timelines_that_start_where_that_ones_stopped()
    {
        using var end = new WritableTimeline();
        using var next = new WritableTimeline();
        var lane = OpenWithStep(end);
        Bury(lane.Client);

        var born = _host.OpenLane(_host.Engine.OpenClient(), _options, end: next);

        Assert.Equal((1, 1UL), (born.Number, born.Begun));
        Assert.Equal((1UL, 1UL), (_host.Timeline(1, TimelineKind.Begin).Value, next.Value));
    }

    [Fact]
    public void A_lane_for_a_condemned_client_makes_nothing()
    {
        var client = _host.Engine.OpenClient();
        _host.Engine.Condemn(client);
        var before = _host.DeviceBytes;
        Assert.Equal(KvError.Disconnected, Assert.Throws<KvException>(() => _host.OpenLane(client, _options)).Error);
        Assert.Equal(before, _host.DeviceBytes);
    }

    private void Bury(ClientState client)
    {
        _host.Engine.ProveGone(client);
        for (var turn = 0; turn < 4; turn++)
        {
            _device.RunUntilIdle();
            _host.Turn();
        }

        Assert.Equal(ClientLife.Reclaimed, client.Life);
    }

    /// <summary>A lane with a step whose publish has not run.</summary>
    private LaneState OpenWithStep(DeviceTimeline end)
    {
        var client = _host.Engine.OpenClient();
        var lane = _host.OpenLane(client, _options, end: end);
        var model = _host.Engine.RegisterModel(client, [EngineRig.Layout().ToShape()], [0]);
        _sequence = _host.Engine.Sequences.Create(client, model);
        Begin(lane);
        return lane;
    }

    private void Begin(LaneState lane) => Assert.Equal(KvStepStatus.Accepted, _host.Engine.Begin(lane, [new StepRequest(_sequence, 4)]));

    /// <summary>A timeline in memory that its client can write what it likes to.</summary>
    private sealed class WritableTimeline() : DeviceTimeline("end")
    {
        public bool IsDisposed { get; private set; }

        public ulong Word { get; set; }

        public override ulong Value => Word;

        public int Signals { get; private set; }

        public override void Signal(ulong value)
        {
            Word = Math.Max(Word, value);
            Signals++;
        }

        public override bool WaitOnHost(ulong value, TimeSpan timeout) => throw new NotSupportedException();

        protected override void Dispose(bool disposing) => IsDisposed = true;
    }
}
