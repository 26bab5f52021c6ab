using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// 2 MiB of KV appear at a new place: two sequences get 64 other blocks of 2 MiB in turn, through engine, publish queue and table, until the step that reads them may begin and
/// has ended (A); create, map and set access by the driver, without what it costs to undo them (B). Microseconds for 2 MiB.
/// </summary>
internal sealed class GpuRemapSides : RatioSides
{
    private const int Blocks = 64;
    private const int Remaps = 32;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly KvCache _cache;
    private readonly KvLane _lane;
    private readonly KvSequence[] _sequences;
    private readonly DeviceQueue _queue;
    private readonly CommandList _commands = new();
    private readonly VmmPages _pages;

    public GpuRemapSides(GpuRig rig)
    {
        _cache = KvCache.OpenEmbedded(new BorrowedDevice(rig.Device), new KvCacheOptions { PoolBytes = 4L * Blocks * VmmPages.PageBytes, ColdBytes = 0 });
        var model = _cache.RegisterModel("remap", new KvLayout { Layers = 32, Heads = 8, HeadDim = 128 });
        if (model.Shape().BlockBytes != VmmPages.PageBytes)
        {
            throw new InvalidOperationException($"A block has {model.Shape().BlockBytes} bytes, not 2 MiB.");
        }

        _lane = _cache.OpenLane(new KvLaneOptions { Depth = Remaps, MaxBatch = 1, MaxLayouts = 1 });
        _sequences = [model.CreateSequence(), model.CreateSequence()];
        _queue = rig.Device.CreateQueue("client");
        _pages = new VmmPages(rig.Context, Blocks);
        Tokens = Blocks << (int)model.Shape().TokensPerBlockShift;
    }

    public override bool IsPinned => false;

    private int Tokens { get; }

    public override double RunA()
    {
        var start = Stopwatch.GetTimestamp();
        KvStep step = default;
        for (var remap = 0; remap < Remaps; remap++)
        {
            // What was read last is still held, so these are other blocks. Then it goes back, with the step that reads it as frontier.
            step = _lane.Begin([new KvStepItem(_sequences[remap % 2], Tokens)]);
            _sequences[(remap + 1) % 2].Truncate(0);
            _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        }

        return step.Status == KvStepStatus.Accepted && _cache.Wait(step.End, _limit)
            ? Stopwatch.GetElapsedTime(start).TotalMicroseconds / Remaps / Blocks
            : throw new InvalidOperationException($"The last of {Remaps} remaps is {_lane.StatusOf(step.Number)}.");
    }

    public override double RunB() => _pages.Run().Appear;

    protected override void Dispose(bool disposing)
    {
        _pages.Dispose();
        _queue.Dispose();
        _cache.Dispose();
        base.Dispose(disposing);
    }
}
