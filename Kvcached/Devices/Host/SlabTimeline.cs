namespace Kvcached.Devices.Host;

/// <summary>A timeline of this process alone. Thread-safe.</summary>
internal sealed unsafe class SlabTimeline : HostTimeline
{
    private readonly TimelineSlab _slab;
    private nint _slot;

    internal SlabTimeline(MappedDevice device, TimelineSlab slab, TimelineSlot* slot, string label)
        : base(device, BellAccess.Own, label)
    {
        _slab = slab;
        _slot = (nint)slot;
    }

    internal override TimelineSlot* Slot
    {
        get
        {
            var slot = Volatile.Read(ref _slot);
            ObjectDisposedException.ThrowIf(slot == 0, this);
            return (TimelineSlot*)slot;
        }
    }

    protected override void Dispose(bool disposing)
    {
        var slot = Interlocked.Exchange(ref _slot, 0);
        if (slot != 0)
        {
            Device.Release(_slab, (TimelineSlot*)slot);
        }
    }
}
