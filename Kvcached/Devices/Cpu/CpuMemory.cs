using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Cpu;

/// <summary>Memory of the cpu device: shared memory, mapped for this process. Thread-safe.</summary>
internal sealed unsafe class CpuMemory : DeviceMemory
{
    private readonly SharedMapping _mapping;
    private nint _address;

    internal CpuMemory(CpuDevice device, SharedMapping mapping, string label, MemoryKind kind, long bytes)
        : base(label, kind, bytes)
    {
        Device = device;
        _mapping = mapping;
        _address = mapping.Address;
    }

    internal CpuDevice Device { get; }

    /// <summary>Bytes that the memory takes: whole pages.</summary>
    internal long HeldBytes => _mapping.Bytes;

    public override long PhysicalBytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _address) == 0, this);
            return _mapping.PhysicalBytes;
        }
    }

    public override ulong Address
    {
        get
        {
            var address = Volatile.Read(ref _address);
            ObjectDisposedException.ThrowIf(address == 0, this);
            return (ulong)address;
        }
    }

    public override Span<byte> HostSpan(long offset, int bytes)
    {
        if (Kind != MemoryKind.Host)
        {
            throw new InvalidOperationException($"{Label} is memory of kind {Kind}: the host reaches memory of kind {MemoryKind.Host} alone.");
        }

        if (offset < 0 || bytes < 0 || bytes > Bytes - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} to {offset}+{bytes} do not lie in the {Bytes} bytes of {Label}.");
        }

        return new Span<byte>((byte*)Address + offset, bytes);
    }

    protected override void DiscardCore(long offset, long bytes)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _address) == 0, this);
        _mapping.PunchHole(offset, bytes);
    }

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _address, 0) != 0)
        {
            Device.Release(this);
            _mapping.Dispose();
        }
    }
}
