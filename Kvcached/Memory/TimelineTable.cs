namespace Kvcached.Memory;

/// <summary>What has been observed of each timeline: the only progress that is a fact on the host.</summary>
internal sealed class TimelineTable
{
    private ulong[] _observed = new ulong[64];

    public bool IsObserved(Point point) => point.IsNone || _observed[point.Timeline] >= point.Value;

    public ulong Observed(int timeline) => _observed[timeline];

    /// <summary>Records a value read from a timeline. Returns whether it is news.</summary>
    public bool Observe(int timeline, ulong value)
    {
        if (value <= _observed[timeline])
        {
            return false;
        }

        _observed[timeline] = value;
        return true;
    }

    public void EnsureLane(int lane)
    {
        var needed = (lane + 1) * 4;
        if (needed > _observed.Length)
        {
            Array.Resize(ref _observed, Math.Max(needed, _observed.Length * 2));
        }
    }
}
