using System.Runtime.InteropServices;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// The claim of one waiting lane on the room that is made next, one at a time (I10), so that a large step is not passed for ever by small ones.
/// It binds the other lanes of its client always, and other clients' as long as its own has no live step: a client that stalls on one lane
/// holds nobody behind another of its lanes. Steps of other clients go on that take no room, but for those of a tenant over its share while the
/// holder's is not over its own, until all that was under way has ended and the holder still finds no room: then nobody else begins a step until what
/// has begun since has ended, too. Only then is the holder refused. Where the holder waits for no room but for what its tenant may hold, it binds that tenant's clients alone, in every
/// step; and lanes of other tenants take the claim from it. What the holder waits for may have stalled, too: where nothing of it has ended for some
/// turns, all others pass until something does; and each time that this turns out to have been early, the claim is patient for twice as long. So
/// nobody is held for ever behind one that waits for a client that has stalled, and nobody is passed for ever because a step is slow.
/// </summary>
internal sealed class RoomReservation(EngineState state)
{
    /// <summary>Turns without news after which others pass for the first time.</summary>
    public const long FirstPatience = 8;

    private readonly List<Point> _outstanding = new(EngineState.UsualPoints);
    private LaneState? _holder;
    private bool _wantsQuota;
    private long _patience;
    private long _quietTurns;

    /// <summary>Whether all other clients are bound, and have been since what is outstanding was listed.</summary>
    private bool _hasBound;

    /// <summary>Whether steps that take no room are bound, too: what they use is pinned anew with each of them, and may be what the holder needs.</summary>
    private bool _bindsAll;

    /// <summary>The lane that holds it, if one does.</summary>
    public LaneState? Holder => _holder;

    /// <summary>Whether a lane holds it.</summary>
    public bool IsHeld => _holder is not null;

    /// <summary>Whether others pass, though there is a holder.</summary>
    public bool LetsPass => _holder is not null && _quietTurns >= _patience;

    /// <summary>Whether a lane has to wait behind the one that holds the reservation.</summary>
    public bool Binds(LaneState lane, bool takesRoom)
    {
        if (_holder is not { } holder || holder == lane || (LetsPass && !RuleFaults.Is(RuleFault.ReservationNeverLetsPass)))
        {
            return false;
        }

        if (holder.Client == lane.Client || holder.Client.HasLive)
        {
            return holder.Client == lane.Client;
        }

        return _wantsQuota ? holder.Client.Tenant == lane.Client.Tenant : takesRoom || _bindsAll || IsOwed(holder, lane);
    }

    /// <summary>Whether a lane's tenant holds what the holder's may have: to go on in that place would keep it for ever.</summary>
    private bool IsOwed(LaneState holder, LaneState lane)
    {
        if (holder.Client.Tenant == lane.Client.Tenant)
        {
            return false;
        }

        state.Tenants.CountShares();
        return lane.Client.Tenant.IsOverShare && !holder.Client.Tenant.IsOverShare;
    }

    /// <summary>
    /// Takes the reservation for a lane that waits, for room or for what its tenant may hold: where it is free, or this claim is the stronger one. A claim for room is stronger than one for a
    /// quota; of one kind, that of a client with no live step is. So two that wait do not take it from each other by turns.
    /// </summary>
    public void TryTake(LaneState lane, bool wantsQuota)
    {
        if (_holder == lane && wantsQuota)
        {
            _wantsQuota = true;
        }
        else if (_holder is null
            || (_wantsQuota && !wantsQuota)
            || (_holder.Client != lane.Client && _wantsQuota == wantsQuota && _holder.Client.HasLive && !lane.Client.HasLive))
        {
            (_holder, _wantsQuota, _hasBound) = (lane, wantsQuota, !wantsQuota && !lane.Client.HasLive);
            _bindsAll = false;
            _patience = FirstPatience;
            _quietTurns = 0;
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

    /// <summary>Notes what has been observed of what the holder waits for. Call once a turn.</summary>
    public void Turn()
    {
        if (_holder is null)
        {
            return;
        }

        var binds = !_wantsQuota && !_holder.Client.HasLive;
        if (binds && !_hasBound)
        {
            // What others began until now takes room, and will make some.
            state.ListOutstanding(_outstanding);
        }

        _hasBound = binds;
        var left = state.Timelines.Prune(CollectionsMarshal.AsSpan(_outstanding));
        if (left == _outstanding.Count)
        {
            _quietTurns++;
            return;
        }

        _outstanding.RemoveRange(left, _outstanding.Count - left);
        if (LetsPass)
        {
            // So does what has passed.
            state.ListOutstanding(_outstanding);
            _patience *= 2;
        }

        _quietTurns = 0;
    }

    /// <summary>
    /// Whether all that was under way when the lane's claim began to bind others has been observed: first those who take room; then, once what they had begun has ended and
    /// it was not enough, everybody in every step.
    /// </summary>
    public bool IsOver(LaneState lane)
    {
        if (_holder != lane || !_hasBound || _outstanding.Count > 0)
        {
            return false;
        }

        if (!_bindsAll)
        {
            _bindsAll = true;
            state.ListOutstanding(_outstanding);
        }

        return _outstanding.Count == 0;
    }
}
