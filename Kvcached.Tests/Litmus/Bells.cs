using System.Diagnostics;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;

namespace Kvcached.Tests.Litmus;

/// <summary>A doorbell at an address.</summary>
internal interface ILitmusBell
{
    void Ring();

    /// <summary>As <see cref="Doorbell.Await"/>.</summary>
    bool Await(Func<bool> holds, TimeSpan timeout);
}

/// <summary>The library's.</summary>
/// <param name="address">Where it lies.</param>
/// <param name="spinTicks">How long to look before falling asleep.</param>
internal sealed unsafe class OwnBell(nint address, long spinTicks = 0) : ILitmusBell
{
    public void Ring() => ((Doorbell*)address)->Ring();

    public bool Await(Func<bool> holds, TimeSpan timeout)
    {
        var condition = new Condition(holds);
        return ((Doorbell*)address)->Await(ref condition, spinTicks, timeout);
    }

    private readonly struct Condition(Func<bool> holds) : ICondition
    {
        public bool Holds() => holds();
    }
}

/// <summary>A copy of the library's, in steps that a fault can replace.</summary>
internal unsafe class BellCopy(nint address) : ILitmusBell
{
    /// <summary>What the futex is on, and what is heard.</summary>
    protected virtual uint* Word => (uint*)address;

    private ref int Waiters => ref *(int*)(address + sizeof(uint));

    public virtual void Ring()
    {
        Interlocked.Increment(ref *(uint*)address);
        if (HasWaiters())
        {
            Wake();
        }
    }

    public bool Await(Func<bool> holds, TimeSpan timeout)
    {
        var started = Stopwatch.GetTimestamp();
        Interlocked.Increment(ref Waiters);
        try
        {
            while (true)
            {
                var heard = Hear();
                if (holds())
                {
                    return true;
                }

                var left = timeout - Stopwatch.GetElapsedTime(started);
                if (left <= TimeSpan.Zero)
                {
                    return false;
                }

                Sleep(heard, left);
            }
        }
        finally
        {
            Interlocked.Decrement(ref Waiters);
        }
    }

    protected bool HasWaiters() => Volatile.Read(ref Waiters) != 0;

    protected uint Hear() => Volatile.Read(ref *Word);

    protected virtual void Wake() => Futex.Wake(Word, int.MaxValue);

    protected virtual void Sleep(uint heard, TimeSpan timeout) => Futex.Wait(Word, heard, timeout);
}

/// <summary>Hears after its look at the condition: a ring in between is taken for an old one.</summary>
internal sealed class HearsLate(nint address) : BellCopy(address)
{
    protected override void Sleep(uint heard, TimeSpan timeout) => base.Sleep(Hear(), timeout);
}

/// <summary>Does not ring where it counts no waiter, with no fence between the change of the condition and that look: the change may still lie in the store buffer.</summary>
internal sealed class RingsUnfenced(nint address) : BellCopy(address)
{
    public override void Ring()
    {
        if (HasWaiters())
        {
            base.Ring();
        }
    }
}

/// <summary>Wakes one sleeper of several.</summary>
internal sealed unsafe class WakesOne(nint address) : BellCopy(address)
{
    protected override void Wake() => Futex.Wake(Word, 1);
}

/// <summary>Sleeps and wakes by the kind of futex that one process has to itself.</summary>
internal sealed unsafe class WakesItsProcess(nint address) : BellCopy(address)
{
    private const int PrivateFlag = 128;

    protected override void Wake() => LibC.Futex(LibC.FutexNumber, Word, LibC.FutexWakeOperation | PrivateFlag, int.MaxValue, null, 0, 0);

    protected override void Sleep(uint heard, TimeSpan timeout)
    {
        var limit = new LibC.Timespec { Seconds = (long)timeout.TotalSeconds, Nanoseconds = timeout.Ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick };
        LibC.Futex(LibC.FutexNumber, Word, LibC.FutexWaitOperation | PrivateFlag, heard, &limit, 0, 0);
    }
}
