using Kvcached.Kernels;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>A lane of a hostile client.</summary>
internal sealed unsafe class HostileLane(HostileConnection connection, LaneMessage lane, nint views, OpenLaneMessage options)
{
    private readonly ulong* _begin = (ulong*)(connection.DaemonArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly ulong* _end = (ulong*)(connection.ClientArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly (int Count, long BlockBytes)[] _steps = new (int, long)[options.Depth];

    public uint Index => lane.Lane;

    public int MaxBatch => options.MaxBatch;

    public int Depth => options.Depth;

    /// <summary>The step that is begun next.</summary>
    public ulong Next { get; private set; } = lane.FirstStep;

    /// <summary>The last step whose end this client has signalled.</summary>
    public ulong Ended { get; private set; } = lane.FirstStep - 1;

    public ulong BegunValue => Volatile.Read(ref *_begin);

    public bool HasRoom => Next <= Ended + (ulong)options.Depth;

    public void NoteBegun(ReadOnlySpan<int> slots, long blockBytes) => _steps[Next++ % (ulong)options.Depth] = (slots.Length, blockBytes);

    public void End(ulong step)
    {
        Ended = step;
        Volatile.Write(ref *_end, step);
    }

    /// <summary>The views of one of the last steps, and the bytes of its blocks.</summary>
    public (SequenceView[] Views, long BlockBytes) ViewsOf(ulong step)
    {
        var (count, blockBytes) = _steps[step % (ulong)options.Depth];
        var at = (SequenceView*)(views + (nint)((step % (ulong)options.Depth) * (ulong)options.MaxLayouts * (ulong)options.MaxBatch * SequenceView.Bytes));
        return (new ReadOnlySpan<SequenceView>(at, count).ToArray(), blockBytes);
    }
}
