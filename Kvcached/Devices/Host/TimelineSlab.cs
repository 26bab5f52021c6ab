using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>
/// Shared memory for the slots of many timelines. It is unmapped by its finalizer alone, when neither the device nor any timeline in it
/// is reachable, so a late look at a timeline never touches unmapped memory. Not thread-safe but for <see cref="RingAll"/>: the device's
/// lock guards it.
/// </summary>
internal sealed unsafe class TimelineSlab
{
    internal const int Slots = 1024;
    internal const int Bytes = Slots * TimelineSlot.Bytes;

    private readonly SharedMapping _mapping = SharedMapping.Create(Bytes, "timelines");
    private readonly Queue<int> _returned = new();
    private int _fresh;

    /// <summary>Address of the first slot.</summary>
    internal nint Address => _mapping.Address;

    /// <summary>Takes a slot at value 0; the ones returned longest ago are taken first. Null when all are in use.</summary>
    internal TimelineSlot* Acquire()
    {
        // Fresh slots first: a slot of a timeline that was disposed too early is left alone for as long as possible.
        int index;
        if (_fresh < Slots)
        {
            index = _fresh++;
        }
        else if (!_returned.TryDequeue(out index))
        {
            return null;
        }

        var slot = At(index);
        slot->Reset();
        return slot;
    }

    /// <summary>Gives a slot back.</summary>
    internal void Release(TimelineSlot* slot) => _returned.Enqueue((int)(slot - At(0)));

    /// <summary>Makes everyone who waits on any slot look again.</summary>
    internal void RingAll()
    {
        for (var i = 0; i < Slots; i++)
        {
            At(i)->Bell.Ring();
        }
    }

    private TimelineSlot* At(int index) => (TimelineSlot*)_mapping.Address + index;
}
