using System.Diagnostics;

namespace Kvcached.Daemon.Demo;

/// <summary>What a run shows of itself at one step.</summary>
internal readonly record struct RunSnapshot(string Run, int Step, int Steps, long Tokens, TimeSpan Elapsed, KvCacheStatistics Statistics);

/// <summary>
/// Watches a run from its host loop: the peak of device memory, progress for the display, and the managed bytes that all threads of the
/// process allocate over a window of consecutive steps. Within the window nothing is shown, since drawing allocates.
/// </summary>
internal sealed class RunMonitor(string name, int steps, IDemoDisplay display, int windowSteps)
{
    private static readonly TimeSpan ShowEvery = TimeSpan.FromMilliseconds(250);

    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly int _windowFirst = windowSteps == 0 ? int.MaxValue : WindowFirst(steps, windowSteps);
    private int _step;
    private TimeSpan _shown;
    private long _tokens;
    private long _managedBefore;
    private KvCacheStatistics _statisticsBefore;

    /// <summary>Time from the first step to the end of the last.</summary>
    public TimeSpan Elapsed { get; private set; }

    public KvCacheStatistics Statistics { get; private set; }

    public long DeviceBytesPeak { get; private set; }

    public RunLengths RunLengths { get; } = new();

    /// <summary>Managed bytes allocated over the window; −1 if it was not reached.</summary>
    public long ManagedBytes { get; private set; } = -1;

    /// <summary>Whether blocks were evicted, reloaded and moved within the window.</summary>
    public bool WindowHasAll { get; private set; }

    public void AfterStep(int tokens, in KvCacheStatistics statistics)
    {
        var step = _step++;
        DeviceBytesPeak = Math.Max(DeviceBytesPeak, statistics.DeviceBytes);
        RunLengths.Look(statistics);
        _tokens += tokens;
        if (step == _windowFirst - 1)
        {
            _statisticsBefore = statistics;
            _managedBefore = GC.GetTotalAllocatedBytes(precise: true);
        }
        else if (step == _windowFirst - 1 + windowSteps)
        {
            ManagedBytes = GC.GetTotalAllocatedBytes(precise: true) - _managedBefore;
            WindowHasAll = statistics.EvictedBlocks > _statisticsBefore.EvictedBlocks
                && statistics.ReloadedBlocks > _statisticsBefore.ReloadedBlocks
                && statistics.MovedBlocks > _statisticsBefore.MovedBlocks;
        }
        else if ((step < _windowFirst || step >= _windowFirst + windowSteps) && _watch.Elapsed - _shown > ShowEvery)
        {
            Show(step + 1, statistics);
        }
    }

    public void AfterRun(in KvCacheStatistics statistics)
    {
        Elapsed = _watch.Elapsed;
        Statistics = statistics;
        Show(steps, statistics);
    }

    /// <summary>
    /// The window ends at four fifths of the schedule: by its beginning code is compiled and lists have grown, and after it the sequences end,
    /// so that nothing needs to be evicted.
    /// </summary>
    private static int WindowFirst(int steps, int windowSteps)
    {
        var first = (steps * 4 / 5) - windowSteps;
        return first > 0 ? first : throw new DemoFailedException($"The schedule has {steps} steps; four fifths of them must be more than the {windowSteps} to measure over.");
    }

    private void Show(int step, in KvCacheStatistics statistics)
    {
        _shown = _watch.Elapsed;
        display.Show(new RunSnapshot(name, step, steps, _tokens, _shown, statistics));
    }
}
