using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Copies of scattered blocks from one half of a pool into the other, without an engine: of the size of <see cref="ScatteredBlocks"/>, between the places where
/// they lie and by the thread that moves them, that of the background queue. Run while nothing of the cache is under way. What the blocks hold is lost.
/// </summary>
/// <param name="device">Where there is a cache.</param>
/// <param name="blocks">Blocks of the pool.</param>
/// <param name="copies">How many to copy: every other one, from the pool's start on; a quarter at most.</param>
internal sealed class PlainMoves(TappedDevice device, int blocks, int copies) : IDisposable
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
        for (var block = 0; block < 2 * copies; block += 2)
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
