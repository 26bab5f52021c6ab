using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices;

namespace Kvcached.Tests.Kernels;

/// <summary>Zeroed native memory of a test, at an address that kernels take.</summary>
internal sealed unsafe class NativeArray<T> : IDisposable
    where T : unmanaged
{
    private readonly T* _memory;
    private readonly int _length;
    private readonly Action _free;

    internal NativeArray(long length)
    {
        _length = checked((int)length);
        _memory = (T*)NativeMemory.AlignedAlloc((nuint)(long.Max(length, 1) * sizeof(T)), 4096);
        Address = (ulong)_memory;
        _free = () => NativeMemory.AlignedFree(_memory);
        Span.Clear();
    }

    internal NativeArray(ReadOnlySpan<T> values)
        : this(values.Length) => values.CopyTo(Span);

    /// <summary>An array of which kernels have a copy.</summary>
    internal NativeArray(long length, DeviceMemory host, DeviceMemory device, Action forget)
    {
        _length = checked((int)length);
        _memory = (T*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(host.HostSpan(0, (int)host.Bytes)));
        Address = device.Address;
        _free = () =>
        {
            forget();
            host.Dispose();
            device.Dispose();
        };
    }

    /// <summary>Where kernels find it.</summary>
    internal ulong Address { get; }

    /// <summary>Where the host finds it.</summary>
    internal T* Pointer => _memory;

    internal Span<T> Span => new(_memory, _length);

    internal Span<byte> Bytes => MemoryMarshal.AsBytes(Span);

    public void Dispose() => _free();
}
