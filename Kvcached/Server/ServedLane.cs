using System.Diagnostics;
using Kvcached.Engine;

namespace Kvcached.Server;

/// <summary>A lane of a client, and what the client has been told of its steps.</summary>
internal sealed class ServedLane(LaneState state)
{
    private readonly long[] _readAt = new long[state.Depth + 1];
    private ulong _measured = state.Begun;

    public LaneState State { get; } = state;

    /// <summary>Last step of which the client has been told what has become of it for good.</summary>
    public ulong Answered { get; set; } = state.Begun;

    /// <summary>Last step that the client has been told is Busy.</summary>
    public ulong ToldBusy { get; set; } = state.Begun;

    /// <summary>Notes that the step begun last has been read.</summary>
    public void NoteRead() => _readAt[State.Begun % (ulong)_readAt.Length] = Stopwatch.GetTimestamp();

    /// <summary>Counts how long steps took whose begin points have been reached since the last call.</summary>
    public void Measure(ulong begun, StepLatencies latencies)
    {
        if (_measured >= begun)
        {
            return;
        }

        var now = Stopwatch.GetTimestamp();
        while (_measured < begun)
        {
            latencies.Add(now - _readAt[++_measured % (ulong)_readAt.Length]);
        }
    }
}
