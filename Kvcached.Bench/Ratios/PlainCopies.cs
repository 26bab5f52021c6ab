using System.Diagnostics;
using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Block copies out of a cache's pool and back, without an engine: the very bytes that the cache copies, by the very threads of a lane's transfer
/// queues. Other bytes would be warmer or colder in the caches, and other threads would stand on other processors: either weighs more than what is
/// looked for. Each queue copies half of the blocks out and then in again, and none waits for another: of the orders tried, the fastest.
/// Run while nothing of the cache is under way; pool bytes stay as they are, cold ones do not.
/// </summary>
internal sealed class PlainCopies : IDisposable
{
    private const int BlocksPerSubmission = 8;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly DeviceMemory _pool;
    private readonly DeviceMemory _cold;
    private readonly DeviceQueue[] _queues;
    private readonly DeviceTimeline[] _timelines;
    private readonly CommandList _commands = new();
    private readonly int _blocks;
    private readonly int _blockBytes;
    private ulong _submissions;

    /// <summary>Lays out copies of the first blocks of the pool.</summary>
    public PlainCopies(TappedDevice device, KvLane lane, int blocks, int blockBytes)
    {
        (_pool, _cold) = (device.Memory("pool"), device.Memory("cold"));
        _queues = [device.Queue($"lane {((EmbeddedLane)lane).State.Number} out"), device.Queue($"lane {((EmbeddedLane)lane).State.Number} in")];
        _timelines = [device.CreateTimeline("plain"), device.CreateTimeline("plain")];
        (_blocks, _blockBytes) = (blocks, blockBytes);
    }

    /// <summary>GB/s, both directions.</summary>
    public double Run()
    {
        var start = Stopwatch.GetTimestamp();
        Copy(_cold, _pool);
        Copy(_pool, _cold);
        if (!_timelines.All(timeline => timeline.WaitOnHost(_submissions, _limit)))
        {
            throw new InvalidOperationException($"Plain copies are not done after {_limit}.");
        }

        return 2L * _blocks * _blockBytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    public void Dispose()
    {
        foreach (var timeline in _timelines)
        {
            timeline.Dispose();
        }
    }

    private void Copy(DeviceMemory target, DeviceMemory source)
    {
        for (var block = 0; block < _blocks;)
        {
            _submissions++;
            for (var queue = 0; queue < _queues.Length; queue++)
            {
                for (var end = Math.Min(_blocks, block + BlocksPerSubmission); block < end; block++)
                {
                    _commands.Copy(target, block * (long)_blockBytes, source, block * (long)_blockBytes, _blockBytes);
                }

                _queues[queue].Submit([], _commands, new TimelinePoint(_timelines[queue], _submissions));
                _commands.Clear();
            }
        }
    }
}
