using System.Runtime.InteropServices;

namespace Kvcached.Tests.Kernels;

/// <summary>Zeroed native memory of a test, at an address that kernels take.</summary>
internal sealed unsafe class NativeArray<T> : IDisposable
    where T : unmanaged
{
    private readonly T* _memory;
    private readonly int _length;

    internal NativeArray(long length)
    {
        _length = checked((int)length);
        _memory = (T*)NativeMemory.AlignedAlloc((nuint)(long.Max(length, 1) * sizeof(T)), 4096);
        Span.Clear();
    }

    internal NativeArray(ReadOnlySpan<T> values)
        : this(values.Length) => values.CopyTo(Span);

    internal ulong Address => (ulong)_memory;

    internal Span<T> Span => new(_memory, _length);

    internal Span<byte> Bytes => MemoryMarshal.AsBytes(Span);

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}
