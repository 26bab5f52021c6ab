using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Kvcached.Devices.Sim;

/// <summary>
/// One tick per actor (a queue or a host): what has happened before some moment. Fixed width, so that a join is eight vector maxima
/// and a copy is one assignment.
/// </summary>
[InlineArray(MaxActors)]
internal struct VectorClock
{
    /// <summary>Queues and hosts of a device, together.</summary>
    public const int MaxActors = 64;

    private uint _ticks;

    /// <summary>Takes over all that <paramref name="other"/> knows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Join(ref readonly VectorClock other)
    {
        ref var mine = ref Unsafe.As<VectorClock, uint>(ref this);
        ref var theirs = ref Unsafe.As<VectorClock, uint>(ref Unsafe.AsRef(in other));
        for (nuint i = 0; i < MaxActors; i += (nuint)Vector256<uint>.Count)
        {
            Vector256.Max(Vector256.LoadUnsafe(ref mine, i), Vector256.LoadUnsafe(ref theirs, i)).StoreUnsafe(ref mine, i);
        }
    }

    /// <summary>Whether what <paramref name="epoch"/> names happened before this clock's moment.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool Covers(uint epoch) => this[(int)(epoch >> Epoch.TickBits)] >= (epoch & Epoch.MaxTick);
}

/// <summary>
/// An actor and its tick, in 31 bits; 0 is "never". The top bit is left to who stores epochs.
/// <code>
///   bit 31   30 … 25   24 … 0
///       |0|   actor  |  tick  |
/// </code>
/// </summary>
internal static class Epoch
{
    public const int TickBits = 25;
    public const uint MaxTick = (1u << TickBits) - 1;

    public static uint Of(int actor, uint tick) => ((uint)actor << TickBits) | tick;

    public static int Actor(uint epoch) => (int)(epoch >> TickBits);

    public static uint Tick(uint epoch) => epoch & MaxTick;
}
