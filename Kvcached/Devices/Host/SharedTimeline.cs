using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>A timeline in memory that processes share. Whoever reads or waits keeps the memory mapped meanwhile. Thread-safe.</summary>
internal sealed unsafe class SharedTimeline(MappedMemory memory, long offset, string label)
    : HostTimeline(memory.Device, memory.IsReadOnly ? BellAccess.ReadOnly : BellAccess.Shared, label)
{
    private volatile bool _disposed;

    public override ulong Value
    {
        get
        {
            using var hold = new HandleHold(memory.Mapping);
            return base.Value;
        }
    }

    internal override bool IsForeign => memory.IsImported ? memory.IsReadOnly : memory.Access == SharedAccess.ReadWriteForOthers;

    internal override TimelineSlot* Slot
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return (TimelineSlot*)(memory.Address + (ulong)offset);
        }
    }

    public override void Signal(ulong value)
    {
        using var hold = new HandleHold(memory.Mapping);
        base.Signal(value);
    }

    public override bool WaitOnHost(ulong value, TimeSpan timeout)
    {
        using var hold = new HandleHold(memory.Mapping);
        return Await(value, timeout);
    }

    internal override void Poison(ulong value)
    {
        using var hold = new HandleHold(memory.Mapping);
        base.Poison(value);
    }

    protected override void Dispose(bool disposing) => _disposed = true;
}
