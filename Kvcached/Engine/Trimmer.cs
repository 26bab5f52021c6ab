using System.Runtime.InteropServices;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Has the pool compacted, and takes the memory from what comes free above the floor: until compaction has come to its end, and so has all that was under way then. As much as has come since the
/// request stays: a step that waits has asked for it, and would ask again.
/// </summary>
internal sealed class Trimmer(EngineState state, Compactor compactor)
{
    /// <summary>What was under way when compaction came to its end: what it keeps may lose its memory too.</summary>
    private readonly List<Point> _awaited = new(EngineState.UsualPoints);

    private long _arrivedBefore;

    /// <summary>Whether a trim goes on.</summary>
    public bool IsTrimming { get; private set; }

    public void Request()
    {
        compactor.Request();
        state.Pool.Units.AskAgain();
        _arrivedBefore = state.Pool.Units.Arrived;
        IsTrimming = true;
        state.ListOutstanding(_awaited);
    }

    /// <summary>Takes the memory of what can lose it now, if there was a request that is not over.</summary>
    public void Run()
    {
        // What comes is for a step that waits: trims asked for again and again would else take of it what has come, and the step ask again.
        if (!IsTrimming || state.Pool.IsGrowing)
        {
            return;
        }

        if (compactor.IsRequested)
        {
            state.ListOutstanding(_awaited);
        }
        else
        {
            CollectionsMarshal.SetCount(_awaited, state.Timelines.Prune(CollectionsMarshal.AsSpan(_awaited)));
        }

        IsTrimming = compactor.IsRequested || (_awaited.Count > 0 && !RuleFaults.Is(RuleFault.TrimEndsEarly));
        var keep = (state.Options.PoolFloorBytes ?? state.Options.Pool.Bytes) + ((state.Pool.Units.Arrived - _arrivedBefore) * state.Options.UnitBytes);
        while (state.Pool.TryTrim(keep, out var offset, out var bytes))
        {
            state.Submitter.Discard(offset, bytes);
        }
    }
}
