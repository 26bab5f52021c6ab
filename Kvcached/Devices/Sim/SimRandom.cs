using System.Numerics;
using System.Runtime.CompilerServices;

namespace Kvcached.Devices.Sim;

/// <summary>A stream of pseudo-random numbers (splitmix64): small, fast, and the same from a seed on every machine.</summary>
public struct SimRandom
{
    private ulong _state;

    /// <summary>Starts a stream. Different streams of one seed are unrelated.</summary>
    public SimRandom(ulong seed, ulong stream = 0)
    {
        _state = seed ^ (stream * 0xD1342543DE82EF95);
        _state = Next();
    }

    /// <summary>64 random bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Next()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>A number from 0 to <paramref name="limit"/> − 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Next(int limit) => (int)(((Next() >> 32) * (ulong)(uint)limit) >> 32);

    /// <summary>True once in <paramref name="n"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool OneIn(int n) => Next(n) == 0;
}

/// <summary>A rolling 64-bit hash of a run, the same on every machine: two runs with one hash did the same.</summary>
internal struct TraceHash
{
    private ulong _state;

    public readonly ulong Value => _state;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(ulong value) => _state = (BitOperations.RotateLeft(_state, 23) ^ value) * 0x9FB21C651E98DF25;

    public void Add(ReadOnlySpan<byte> bytes)
    {
        Add((ulong)bytes.Length);
        for (; bytes.Length >= sizeof(ulong); bytes = bytes[sizeof(ulong)..])
        {
            Add(System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        }

        var tail = 0ul;
        for (var i = 0; i < bytes.Length; i++)
        {
            tail |= (ulong)bytes[i] << (8 * i);
        }

        Add(tail);
    }
}
