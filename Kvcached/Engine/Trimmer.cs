using System.Runtime.InteropServices;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>Has the pool compacted, and takes the memory from what comes free above the floor: until compaction has come to its end, and so has all that was under way then.</summary>
internal sealed class Trimmer(EngineState state, Compactor compactor)
{
    /// <summary>What was under way when compaction came to its end: what it keeps may lose its memory too.</summary>
    private readonly List<Point> _awaited = new(EngineState.UsualPoints);

    /// <summary>Whether a trim goes on.</summary>
    public bool IsTrimming { get; private set; }

    public void Request()
    {
        compactor.Request();
        IsTrimming = true;
        state.ListOutstanding(_awaited);
    }

    /// <summary>Takes the memory of what can lose it now, if there was a request that is not over.</summary>
    public void Run()
    {
        if (!IsTrimming)
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
        while (state.Pool.TryTrim(state.Options.PoolFloorBytes ?? state.Options.Pool.Bytes, out var offset, out var bytes))
        {
            state.Submitter.Discard(offset, bytes);
        }
    }
}
