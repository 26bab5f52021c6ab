using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;
using Kvcached.Protocol;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>What a client may not say of contiguous windows: the daemon disconnects it with a reason, or refuses, and serves others as before.</summary>
public sealed class HostileWindowTests : IDisposable
{
    private const uint Slot = 0;
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly SocketFolder _folder = new();
    private readonly TestDaemon _daemon;

    public HostileWindowTests() =>
        _daemon = new TestDaemon(new ServerOptions { Socket = _folder.Socket, PoolBytes = 2 * KvCacheOptions.UnitBytes, ColdBytes = KvCacheOptions.UnitBytes });

    public void Dispose()
    {
        _daemon.Dispose();
        _folder.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData("layout is 1; it must be 0 to 0", (uint)SubmissionKind.OpenWindow, 1)]
    [InlineData("layout is 64; it must be 0 to 0", (uint)SubmissionKind.OpenWindow, 64)]
    [InlineData("layout is -2147483648; it must be 0 to 0", (uint)SubmissionKind.OpenWindow, int.MinValue)]
    [InlineData("layout is 2147483647; it must be 0 to 0", (uint)SubmissionKind.CloseWindow, int.MaxValue)]
    [InlineData("is open", (uint)SubmissionKind.OpenWindow, 0, (uint)SubmissionKind.OpenWindow)]
    [InlineData("is not open", (uint)SubmissionKind.CloseWindow, 0)]
    [InlineData("the lane was opened without windows", (uint)SubmissionKind.Begin, 0, (uint)SubmissionKind.OpenWindow)]
    [InlineData("There is no sequence in slot 1", (uint)SubmissionKind.OpenWindow, 0, 0u, 1u)]
    public void A_record_that_cannot_be_is_the_end_of_the_connection(string reason, uint kind, int value, uint before = 0, uint slot = Slot)
    {
        using var cache = Connect(out var link);
        if (before != 0)
        {
            Send(link, (SubmissionKind)before, new SequenceRecord { Slot = Slot });
        }

        if (kind == (uint)SubmissionKind.Begin)
        {
            Send(link, SubmissionKind.Begin, (new BeginRecord { Count = 1, Number = 1 }, new BeginItem { Slot = Slot, NewTokens = 1 }));
        }
        else
        {
            Send(link, (SubmissionKind)kind, new SequenceRecord { Slot = slot, Value = value });
        }

        AssertDisconnected(cache, reason);
    }

    [Fact]
    public void The_bytes_of_a_window_that_is_not_open_are_not_told()
    {
        using var cache = Connect(out var link);
        Send(link, SubmissionKind.MeasureWindow, new WindowRecord { Slot = Slot, Ticket = 1 });
        AssertDisconnected(cache, "is not open");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-4096)]
    [InlineData(long.MinValue)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - 4095 - KvCacheOptions.UnitBytes)]
    public void A_pool_at_an_address_that_none_can_be_at_is_refused(long address)
    {
        using var cache = Connect(out var link);
        var error = Assert.Throws<KvException>(() => link.Ask<LaneMessage>(new OpenLaneMessage { PoolAddress = address }));
        Assert.Equal(KvError.InvalidArgument, error.Error);
        Assert.Contains($"poolAddress is {address}", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, cache.GetStatistics().Steps);
    }

    /// <summary>A client with one sequence, in the slot, and a lane without windows.</summary>
    private KvCache Connect(out DaemonLink link)
    {
        var cache = _daemon.Connect(_device);
        cache.OpenLane();
        cache.RegisterModel("m", CacheRig.Layout).CreateSequence();
        link = ((RemoteCache)cache).Link;
        return cache;
    }

    private void AssertDisconnected(KvCache cache, string reason)
    {
        var since = Stopwatch.GetTimestamp();
        KvException? error = null;
        while (error is null && Stopwatch.GetElapsedTime(since) < _limit)
        {
            error = Record.Exception(cache.Pump) as KvException;
        }

        Assert.Equal(KvError.DaemonLost, error?.Error);
        Assert.Contains(reason, error!.Message, StringComparison.Ordinal);
        using var next = Connect(out _);
        Assert.Equal(0, next.GetStatistics().Steps);
    }

    private static void Send<T>(DaemonLink link, SubmissionKind kind, in T record)
        where T : unmanaged => link.Send(kind, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in record)));
}
