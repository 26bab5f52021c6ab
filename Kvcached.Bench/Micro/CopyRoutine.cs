using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using BenchmarkDotNet.Attributes;

namespace Kvcached.Bench.Micro;

/// <summary>
/// Blocks of 256 KiB copied out of a pool and back, in turn until all have been. The cpu device copies with the platform's memmove. Lost while pool and copies
/// fit the last cache: vectors, and vectors stored past the caches, which win where they do not fit.
/// </summary>
public unsafe class CopyRoutine
{
    private const int BlockBytes = 256 << 10;
    private byte* _pool;
    private byte* _cold;
    private byte _mark;

    /// <summary>MiB of the pool, and of the copies as many again.</summary>
    [Params(8, 64, 512)]
    public int PoolMiB { get; set; }

    private long Bytes => (long)PoolMiB << 20;

    [GlobalSetup]
    public void Setup()
    {
        _pool = (byte*)NativeMemory.AlignedAlloc((nuint)Bytes, 4096);
        _cold = (byte*)NativeMemory.AlignedAlloc((nuint)Bytes, 4096);
        new Span<byte>(_pool, (int)Bytes).Fill(1);
        new Span<byte>(_cold, (int)Bytes).Fill(2);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        NativeMemory.AlignedFree(_pool);
        NativeMemory.AlignedFree(_cold);
    }

    [Benchmark(Baseline = true)]
    public bool Memmove() => CopyAll(&Move);

    [Benchmark]
    public bool Vectors() => CopyAll(&MoveVectors);

    [Benchmark]
    public bool VectorsPastCaches() => CopyAll(&MovePastCaches);

    private bool CopyAll(delegate*<byte*, byte*, void> copy)
    {
        var mark = ++_mark;
        _pool[0] = _pool[Bytes - 1] = mark;
        for (var offset = 0L; offset < Bytes; offset += BlockBytes)
        {
            copy(_pool + offset, _cold + offset);
        }

        var wasOut = _cold[0] == mark;
        _cold[0] = (byte)~mark;
        for (var offset = 0L; offset < Bytes; offset += BlockBytes)
        {
            copy(_cold + offset, _pool + offset);
        }

        return wasOut && _cold[Bytes - 1] == mark && _pool[0] == (byte)~mark;
    }

    private static void Move(byte* source, byte* target) => Buffer.MemoryCopy(source, target, BlockBytes, BlockBytes);

    private static void MoveVectors(byte* source, byte* target)
    {
        for (var i = 0; i < BlockBytes; i += 4 * Vector512<byte>.Count)
        {
            var (a, b) = (Vector512.Load(source + i), Vector512.Load(source + i + 64));
            var (c, d) = (Vector512.Load(source + i + 128), Vector512.Load(source + i + 192));
            a.Store(target + i);
            b.Store(target + i + 64);
            c.Store(target + i + 128);
            d.Store(target + i + 192);
        }
    }

    private static void MovePastCaches(byte* source, byte* target)
    {
        for (var i = 0; i < BlockBytes; i += 4 * Vector512<byte>.Count)
        {
            var (a, b) = (Vector512.Load(source + i), Vector512.Load(source + i + 64));
            var (c, d) = (Vector512.Load(source + i + 128), Vector512.Load(source + i + 192));
            a.StoreAlignedNonTemporal(target + i);
            b.StoreAlignedNonTemporal(target + i + 64);
            c.StoreAlignedNonTemporal(target + i + 128);
            d.StoreAlignedNonTemporal(target + i + 192);
        }

        if (Sse.IsSupported)
        {
            Sse.StoreFence();
        }
    }
}
