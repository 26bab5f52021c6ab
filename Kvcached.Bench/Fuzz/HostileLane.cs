using Kvcached.Kernels;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>A lane of a hostile client.</summary>
internal sealed unsafe class HostileLane(HostileConnection connection, LaneMessage lane, nint views, nint windows, OpenLaneMessage options)
{
    private readonly ulong* _begin = (ulong*)(connection.DaemonArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly ulong* _end = (ulong*)(connection.ClientArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly (int Count, long BlockBytes, uint Windows)[] _steps = new (int, long, uint)[options.Depth];

    public uint Index => lane.Lane;

    public int MaxBatch => options.MaxBatch;

    public int Depth => options.Depth;

    /// <summary>The step that is begun next.</summary>
    public ulong Next { get; private set; } = lane.FirstStep;

    /// <summary>The last step whose end this client has signalled.</summary>
    public ulong Ended { get; private set; } = lane.FirstStep - 1;

    public ulong BegunValue => Volatile.Read(ref *_begin);

    public bool HasRoom => Next <= Ended + (ulong)options.Depth;

    /// <summary>Notes a step that has been put into the ring.</summary>
    /// <param name="slots">Its sequences.</param>
    /// <param name="isOpen">Of each slot: whether its window is open.</param>
    /// <param name="blockBytes">Bytes of a block.</param>
    public void NoteBegun(ReadOnlySpan<int> slots, ReadOnlySpan<bool> isOpen, long blockBytes)
    {
        var open = 0u;
        for (var i = 0; i < slots.Length; i++)
        {
            open |= isOpen[slots[i]] ? 1u << i : 0;
        }

        _steps[Next++ % (ulong)options.Depth] = (slots.Length, blockBytes, open);
    }

    public void End(ulong step)
    {
        Ended = step;
        Volatile.Write(ref *_end, step);
    }

    /// <summary>The views of one of the last steps, and the bytes of its blocks.</summary>
    public (SequenceView[] Views, long BlockBytes) ViewsOf(ulong step)
    {
        var (count, blockBytes, _) = _steps[step % (ulong)options.Depth];
        var at = (SequenceView*)(views + (nint)((step % (ulong)options.Depth) * (ulong)options.MaxLayouts * (ulong)options.MaxBatch * SequenceView.Bytes));
        return (new ReadOnlySpan<SequenceView>(at, count).ToArray(), blockBytes);
    }

    /// <summary>Addresses of the windows of one of the last steps, as they were published, and whether each was open; nothing on a lane without windows.</summary>
    public (ulong Address, bool IsOpen)[] WindowsOf(ulong step)
    {
        var (count, _, open) = _steps[step % (ulong)options.Depth];
        if (windows == 0)
        {
            return [];
        }

        var slotBytes = lane.WindowBytes / options.Depth;
        var at = (ulong*)(windows + (nint)((long)(step % (ulong)options.Depth) * slotBytes));
        var found = new (ulong, bool)[count];
        for (var i = 0; i < count; i++)
        {
            found[i] = (at[i], (open >> i & 1) != 0);
        }

        return found;
    }
}
