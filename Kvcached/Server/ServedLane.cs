using Kvcached.Engine;

namespace Kvcached.Server;

/// <summary>A lane of a client, and what the client has been told of its steps.</summary>
internal sealed class ServedLane(LaneState state)
{
    public LaneState State { get; } = state;

    /// <summary>Last step of which the client has been told what has become of it for good.</summary>
    public ulong Answered { get; set; } = state.Begun;

    /// <summary>Last step that the client has been told is Busy.</summary>
    public ulong ToldBusy { get; set; } = state.Begun;

    /// <summary>The step that the lease runs for, and since when: the oldest whose begin point has been observed and whose end has not.</summary>
    public ulong LeasedStep { get; set; }

    public long LeasedSince { get; set; }
}
