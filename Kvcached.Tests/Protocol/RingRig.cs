using System.Runtime.InteropServices;
using Kvcached.Protocol;

namespace Kvcached.Tests.Protocol;

/// <summary>Both ends of a ring, in memory whose bytes around the ring are all <see cref="Outside"/>. Body bytes are never that.</summary>
internal sealed unsafe class RingRig : IDisposable
{
    internal const byte Outside = 0xEE;
    internal const int Capacity = RingLayout.LeastRing;
    internal const int CopyBytes = 1024;
    private const int Margin = 1 << 16;

    private readonly byte* _memory = (byte*)NativeMemory.AlignedAlloc(Capacity + (2 * Margin), 64);
    private readonly byte[] _copy = new byte[CopyBytes];

    internal RingRig()
    {
        new Span<byte>(_memory, Capacity + (2 * Margin)).Fill(Outside);
        Words[0] = Words[8] = 0;
        Data.Clear();
        Producer = new RingProducer(_memory + Margin, Capacity, Words, Words + 8);
        Consumer = new RingConsumer(_memory + Margin, Capacity, Words, Words + 8);
    }

    internal RingProducer Producer { get; }

    internal RingConsumer Consumer { get; }

    internal Span<byte> Data => new(_memory + Margin, Capacity);

    /// <summary>The ring's bytes as headers: record size low, kind high.</summary>
    internal Span<ulong> Headers => MemoryMarshal.Cast<byte, ulong>(Data);

    internal ref ulong Tail => ref Words[0];

    internal ref ulong Head => ref Words[8];

    private ulong* Words => (ulong*)_memory;

    public void Dispose() => NativeMemory.AlignedFree(_memory);

    internal static byte ByteOf(int number, int index) => (byte)((number * 31 + index) % 200);

    internal RingStatus Write(uint kind, int bytes)
    {
        var status = Producer.TryReserve(kind, bytes, out var body);
        if (status == RingStatus.Ok)
        {
            for (var i = 0; i < bytes; i++)
            {
                body[i] = ByteOf((int)kind, i);
            }

            Producer.Publish();
        }

        return status;
    }

    internal RingStatus Read(out uint kind, out ReadOnlySpan<byte> body)
    {
        Array.Fill(_copy, (byte)0xDD);
        var status = Consumer.TryRead(_copy, out kind, out var bytes);
        body = _copy.AsSpan(0, bytes);
        return status;
    }
}
