using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>A step of a run that has been begun.</summary>
/// <param name="Input">What its kernels read.</param>
/// <param name="Begin">They wait for this.</param>
/// <param name="End">They signal this.</param>
internal readonly record struct BegunStep(StepInput Input, WaitPoint Begin, TimelinePoint End);

/// <summary>
/// Where the keys and values of a run lie, and when its steps may run: a cache, or buffers that hold everything. Steps are begun in the
/// schedule's order: Begin(n), then Submitted(n) once its kernels are enqueued.
/// </summary>
internal interface IKvSource : IDisposable
{
    /// <summary>The kernels that find keys and values where this source keeps them.</summary>
    AttentionLayer Attention { get; }

    /// <summary>Counters of the cache; zeros where there is none of the run's own.</summary>
    KvCacheStatistics Statistics { get; }

    /// <summary>Begins a step of the schedule. Waits, as an application may, where too many steps have not ended.</summary>
    BegunStep Begin(int step);

    /// <summary>Adds what belongs behind the kernels of the step that was begun last.</summary>
    void Complete(CommandList commands);

    /// <summary>Ends sequences that are complete, and does what the policy asks for.</summary>
    void Submitted(int step);

    /// <summary>Waits for the last step begun.</summary>
    void WaitForEnd();
}
