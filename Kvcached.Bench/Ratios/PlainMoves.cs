using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Copies of scattered blocks from one half of a pool into the other, without an engine: as many of the same size as compaction of <see cref="ScatteredBlocks"/>
/// moves, between the same places and by the same thread, that of the background queue. Run while nothing of the cache is under way. What the
/// blocks hold is lost.
/// </summary>
internal sealed class PlainMoves(TappedDevice device, int blocks) : IDisposable
{
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly DeviceMemory _pool = device.Memory("pool");
    private readonly DeviceQueue _queue = device.Queue("background");
    private readonly DeviceTimeline _timeline = device.CreateTimeline("plain");
    private readonly CommandList _commands = new();
    private ulong _submissions;

    /// <summary>Seconds for the copies.</summary>
    public double Run()
    {
        var start = Stopwatch.GetTimestamp();
        for (var block = 0; block < blocks / 2; block += 2)
        {
            _commands.Copy(_pool, (block + 1) * (long)ScatteredBlocks.BlockBytes, _pool, ((blocks / 2) + block) * (long)ScatteredBlocks.BlockBytes, ScatteredBlocks.BlockBytes);
        }

        Finish();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Waits until the queue has done all that it has been given.</summary>
    public void Finish()
    {
        _queue.Submit([], _commands, new TimelinePoint(_timeline, ++_submissions));
        _commands.Clear();
        if (!_timeline.WaitOnHost(_submissions, _limit))
        {
            throw new InvalidOperationException($"Copies inside the pool are not done after {_limit}.");
        }
    }

    public void Dispose() => _timeline.Dispose();
}
