using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// For how long a lane's client has held a step (I11): the oldest whose begin point has been observed and whose end has not, counted from when it was first looked at. Until the begin point, the
/// client waits, and others are to blame.
/// </summary>
internal sealed class StepLease
{
    private ulong _step;
    private long _since;

    /// <summary>Looks, at a time in milliseconds, for how many of them the step has been held; 0 where none is.</summary>
    public long Look(LaneState lane, TimelineTable timelines, long now)
    {
        var oldest = lane.Ended + 1;
        if (oldest > lane.Planned || !(timelines.IsObserved(lane.BeginOf(oldest)) || RuleFaults.Is(RuleFault.LeaseBeforeBegin)))
        {
            _step = 0;
            return 0;
        }

        if (_step == 0 || (_step != oldest && !RuleFaults.Is(RuleFault.LeaseNotRenewed)))
        {
            (_step, _since) = (oldest, now);
        }

        return now - _since;
    }
}
