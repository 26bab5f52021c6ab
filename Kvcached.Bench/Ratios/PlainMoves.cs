using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Copies of scattered blocks, without an engine: those that compaction of <see cref="ScatteredBlocks"/> made last, between the same places, in the same order and
/// by the thread that moves them, that of the background queue; before there were any, from one half of the pool into the other. Other places would not
/// do: what a processor has in its caches comes faster. Run while nothing of the cache is under way. What the blocks hold is lost.
/// </summary>
/// <param name="device">Where there is a cache.</param>
/// <param name="blocks">Blocks of the pool.</param>
/// <param name="copies">How many to copy; a quarter at most.</param>
internal sealed class PlainMoves(TappedDevice device, int blocks, int copies) : IDisposable
{
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly DeviceMemory _pool = device.Memory("pool");
    private readonly DeviceQueue _queue = device.Queue("background");
    private readonly List<Command> _moves = device.CopiesOf("background");
    private readonly DeviceTimeline _timeline = device.CreateTimeline("plain");
    private readonly CommandList _commands = new();
    private ulong _submissions;

    /// <summary>From here on the cache's moves are those to copy.</summary>
    public void Watch() => _moves.Clear();

    /// <summary>Seconds for the copies.</summary>
    public double Run()
    {
        var start = Stopwatch.GetTimestamp();
        var left = copies * (long)ScatteredBlocks.BlockBytes;
        foreach (var move in _moves)
        {
            var bytes = Math.Min(left, move.Bytes);
            if (bytes > 0)
            {
                _commands.Copy(move.Target!, move.TargetOffset, move.Source!, move.SourceOffset, bytes);
                left -= bytes;
            }
        }

        for (var block = 0; left > 0; block += 2, left -= ScatteredBlocks.BlockBytes)
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
