namespace Kvcached.Devices.Host;

/// <summary>A timeline of a device: a slot in shared memory. Thread-safe.</summary>
internal abstract unsafe class HostTimeline : DeviceTimeline
{
    /// <summary>Looking again for this long costs less than falling asleep; longer would keep a peer on the same core from signalling.</summary>
    internal static readonly long SpinTicks = SpinBudget.TicksOf(2);

    /// <summary>
    /// The same for a point that another process signals: a peer that has several steps under way signals the next one about this long after the last, and waking a sleeper costs it
    /// more than a signal does.
    /// </summary>
    internal static readonly long PeerSpinTicks = SpinBudget.TicksOf(5);

    protected HostTimeline(MappedDevice device, BellAccess access, string label)
        : base(label)
    {
        Device = device;
        Access = access;
    }

    internal MappedDevice Device { get; }

    /// <summary>Who has the slot's memory.</summary>
    internal BellAccess Access { get; }

    /// <summary>Whether other processes signal it: nothing that this process knows of says that a value will be reached.</summary>
    internal virtual bool IsForeign => false;

    /// <summary>Rung after each signal of this process; null for none.</summary>
    internal SignalBell? Bell { get; set; }

    public override ulong Value => Slot->Value;

    /// <summary>The words.</summary>
    internal abstract TimelineSlot* Slot { get; }

    public override void Signal(ulong value)
    {
        CheckSignal(value);
        Slot->Signal(value);
        Bell?.Ring();
    }

    public override bool WaitOnHost(ulong value, TimeSpan timeout) => Await(value, timeout);

    protected bool Await(ulong value, TimeSpan timeout)
    {
        var slot = Slot;
        if (slot->Value >= value)
        {
            return true;
        }

        var reached = new ReachedOrLost(Device, slot, value);
        return slot->Bell.Await(ref reached, SpinTicks, timeout == Timeout.InfiniteTimeSpan ? null : timeout, Device.SignalsSilently ? BellAccess.Silent : Access);
    }

    /// <summary>As <see cref="ISharingDevice.Poison"/>.</summary>
    internal virtual void Poison(ulong value)
    {
        CheckSignal(value);
        Slot->Poison(value, Access);
        Bell?.Ring();
    }

    internal static void CheckValue(ulong value)
    {
        if (value > MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(value), value, $"A timeline's value is at most {MaxValue}.");
        }
    }

    internal void CheckSignal(ulong value)
    {
        CheckValue(value);
        if (Access == BellAccess.ReadOnly)
        {
            throw new InvalidOperationException($"The timeline {Label} is another process's, which alone can signal it.");
        }
    }

    private readonly struct ReachedOrLost(MappedDevice device, TimelineSlot* slot, ulong value) : ICondition
    {
        public bool Holds()
        {
            if (slot->Value >= value)
            {
                return true;
            }

            device.Look();
            device.ThrowIfLost();
            return false;
        }
    }
}
