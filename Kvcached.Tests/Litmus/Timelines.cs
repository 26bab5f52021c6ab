using Kvcached.Devices.Cpu;
using Kvcached.Devices.Host;

namespace Kvcached.Tests.Litmus;

/// <summary>A timeline whose words lie at an address.</summary>
internal interface ILitmusTimeline
{
    ulong Value { get; }

    void Signal(ulong value);

    /// <summary>As <see cref="Kvcached.Devices.DeviceTimeline.WaitOnHost"/>.</summary>
    bool Wait(ulong value, TimeSpan timeout);
}

/// <summary>The library's. The slot is no slab's, so it is not given back.</summary>
internal sealed unsafe class OwnTimeline(CpuDevice device, nint address) : ILitmusTimeline
{
    private static readonly TimelineSlab _noSlab = new();

    internal HostTimeline Timeline { get; } = new SlabTimeline(device, _noSlab, (TimelineSlot*)address, "litmus");

    public ulong Value => Timeline.Value;

    public void Signal(ulong value) => Timeline.Signal(value);

    public bool Wait(ulong value, TimeSpan timeout) => Timeline.WaitOnHost(value, timeout);
}

/// <summary>A copy of the library's, in steps that a fault can replace.</summary>
/// <param name="address">Of the value; the bell lies 8 bytes behind it.</param>
/// <param name="bell">Made for the bell's address; the library's own without it.</param>
internal unsafe class TimelineCopy(nint address, Func<nint, ILitmusBell>? bell = null) : ILitmusTimeline
{
    internal const int BellOffset = 8;

    public ulong Value => Volatile.Read(ref Word);

    protected ref ulong Word => ref *(ulong*)address;

    protected ILitmusBell Bell { get; } = bell?.Invoke(address + BellOffset) ?? new OwnBell(address + BellOffset);

    public virtual void Signal(ulong value)
    {
        if (Raise(value))
        {
            Bell.Ring();
        }
    }

    public virtual bool Wait(ulong value, TimeSpan timeout) => Bell.Await(() => Value >= value, timeout);

    /// <summary>Raises the value to the maximum. False if there is nothing to raise.</summary>
    protected virtual bool Raise(ulong value)
    {
        for (var seen = Value; seen < value;)
        {
            var before = Interlocked.CompareExchange(ref Word, value, seen);
            if (before == seen)
            {
                return true;
            }

            seen = before;
        }

        return false;
    }
}

/// <summary>Rings before the value is there to be seen.</summary>
internal sealed class RingsBeforeRaising(nint address) : TimelineCopy(address)
{
    public override void Signal(ulong value)
    {
        if (Value < value)
        {
            Bell.Ring();
            Raise(value);
        }
    }
}

/// <summary>Raises the value by a plain read and write: another signal in between is overwritten.</summary>
internal sealed class RaisesPlainly(nint address) : TimelineCopy(address)
{
    protected override bool Raise(ulong value)
    {
        if (Word >= value)
        {
            return false;
        }

        Volatile.Write(ref Word, value);
        return true;
    }
}

/// <summary>Gives up where another signal came in between, whichever is the larger.</summary>
internal sealed class RaisesOnce(nint address) : TimelineCopy(address)
{
    protected override bool Raise(ulong value)
    {
        var seen = Value;
        return seen < value && Interlocked.CompareExchange(ref Word, value, seen) == seen;
    }
}

/// <summary>Takes being awake for having been called.</summary>
internal sealed class TrustsTheWake(nint address) : TimelineCopy(address, bell => new BellCopy(bell))
{
    public override bool Wait(ulong value, TimeSpan timeout)
    {
        var looks = 0;
        return Bell.Await(() => Value >= value || ++looks == 2, timeout);
    }
}

/// <summary>Sleeps on the low 32 bits of the value instead of on a sequence.</summary>
internal sealed class SleepsOnValue(nint address) : TimelineCopy(address, bell => new ValueBell(bell))
{
    private sealed unsafe class ValueBell(nint bell) : BellCopy(bell)
    {
        protected override uint* Word { get; } = (uint*)(bell - BellOffset);
    }
}
