using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>Memory of a device that is shared memory, mapped for this process. Thread-safe.</summary>
internal unsafe class MappedMemory : DeviceMemory
{
    private nint _address;

    internal MappedMemory(MappedDevice device, SharedMapping mapping, string label, MemoryKind kind, long bytes, SharedAccess access = SharedAccess.Private, bool isImported = false)
        : base(label, kind, bytes)
    {
        Device = device;
        Mapping = mapping;
        Access = access;
        IsImported = isImported;
        _address = mapping.Address;
    }

    internal MappedDevice Device { get; }

    internal SharedMapping Mapping { get; }

    /// <summary>What disposing it releases: the mapping, or what owns the mapping.</summary>
    private protected virtual SafeHandle Handle => Mapping;

    /// <summary>What processes other than the one that allocated it may do with it.</summary>
    internal SharedAccess Access { get; }

    /// <summary>Whether another process allocated it.</summary>
    internal bool IsImported { get; }

    /// <summary>Whether writing it would end this process.</summary>
    internal bool IsReadOnly => IsImported && Access == SharedAccess.ReadOnlyForOthers;

    internal bool IsDisposed => Volatile.Read(ref _address) == 0;

    public override long PhysicalBytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsDisposed, this);
            return Mapping.PhysicalBytes;
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
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (IsImported || Access == SharedAccess.ReadOnlyForOthers)
        {
            throw new InvalidOperationException($"{Label} cannot be discarded: it is shared for reading, or is another process's.");
        }

        Empty(offset, bytes);
    }

    /// <summary>Makes bytes zero that this process may discard.</summary>
    private protected virtual void Empty(long offset, long bytes) => Mapping.PunchHole(offset, bytes);

    protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _address, 0) != 0)
        {
            Device.Release(this, IsImported);
            if (Access == SharedAccess.Private)
            {
                Handle.Dispose();
            }
            else
            {
                Mapping.Descriptor.Dispose();
                Device.Retire(Handle);
            }
        }
    }
}
