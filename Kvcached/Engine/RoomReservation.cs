using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// The claim of one waiting lane on the room that is made next, one at a time (I10), so that a large step is not passed for ever by small ones.
/// It binds the other lanes of its client always, and other clients' as long as its own has no live step: a client that stalls on one lane
/// holds nobody behind another of its lanes.
/// </summary>
internal sealed class RoomReservation(EngineState state)
{
    private readonly List<Point> _outstanding = [];
    private LaneState? _holder;

    /// <summary>Whether a lane has to wait behind the one that holds the reservation.</summary>
    public bool Binds(LaneState lane, bool takesRoom) =>
        _holder is { } holder && holder != lane && (holder.Client == lane.Client || (takesRoom && !holder.Client.HasLive));

    /// <summary>Takes the reservation for a lane that waits, where it is free or its holder's client stalls and this one's does not.</summary>
    public void TryTake(LaneState lane)
    {
        if (_holder is null || (_holder.Client != lane.Client && _holder.Client.HasLive && !lane.Client.HasLive))
        {
            _holder = lane;
            state.ListOutstanding(_outstanding);
        }
    }

    public void Release(LaneState lane)
    {
        if (_holder == lane)
        {
            _holder = null;
        }
    }

    /// <summary>
    /// Whether all that was under way when the lane took the reservation has been observed: what others have begun since takes no room, and
    /// so will make none.
    /// </summary>
    public bool IsOver(LaneState lane)
    {
        if (_holder != lane)
        {
            return false;
        }

        foreach (var point in _outstanding)
        {
            if (!state.Timelines.IsObserved(point))
            {
                return false;
            }
        }

        return true;
    }
}
