namespace Kvcached.Devices.Cpu;

/// <summary>A timeline of the cpu device: a slot in shared memory. Thread-safe.</summary>
internal sealed unsafe class CpuTimeline : DeviceTimeline
{
    /// <summary>The largest value of a timeline.</summary>
    internal const ulong MaxValue = (1UL << 48) - 1;

    /// <summary>Looking again for this long costs less than falling asleep; longer would keep a peer on the same core from signalling.</summary>
    internal static readonly long SpinTicks = SpinBudget.TicksOf(2);

    private readonly TimelineSlab _slab;
    private nint _slot;

    internal CpuTimeline(CpuDevice device, TimelineSlab slab, TimelineSlot* slot, string label)
        : base(label)
    {
        Device = device;
        _slab = slab;
        _slot = (nint)slot;
    }

    internal CpuDevice Device { get; }

    public override ulong Value => Slot->Value;

    /// <summary>The words.</summary>
    internal TimelineSlot* Slot
    {
        get
        {
            var slot = Volatile.Read(ref _slot);
            ObjectDisposedException.ThrowIf(slot == 0, this);
            return (TimelineSlot*)slot;
        }
    }

    public override void Signal(ulong value)
    {
        CheckValue(value);
        Slot->Signal(value);
    }

    public override bool WaitOnHost(ulong value, TimeSpan timeout)
    {
        var slot = Slot;
        if (slot->Value >= value)
        {
            return true;
        }

        var reached = new ReachedOrLost(Device, slot, value);
        return slot->Bell.Await(ref reached, SpinTicks, timeout == Timeout.InfiniteTimeSpan ? null : timeout);
    }

    internal static void CheckValue(ulong value)
    {
        if (value > MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(value), value, $"A timeline's value is at most {MaxValue}.");
        }
    }

    protected override void Dispose(bool disposing)
    {
        var slot = Interlocked.Exchange(ref _slot, 0);
        if (slot != 0)
        {
            Device.Release(_slab, (TimelineSlot*)slot);
        }
    }

    private readonly struct ReachedOrLost(CpuDevice device, TimelineSlot* slot, ulong value) : ICondition
    {
        public bool Holds()
        {
            if (slot->Value >= value)
            {
                return true;
            }

            device.ThrowIfLost();
            return false;
        }
    }
}
