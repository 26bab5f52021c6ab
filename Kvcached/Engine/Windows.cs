using System.Numerics;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>
/// Contiguous windows: a run of 2^k units of the pool in which a sequence's tokens of one layout lie in order. It is a copy of the blocks: what
/// the sequence had before a step is gathered by the step's publish, what the step adds its kernels write to both. So a window can be dropped
/// without a copy, and is before any block is evicted; the sequence's next step gathers it again.
/// <code>
///   Begin     which windows are open                      the step uses those, whenever it is planned
///   plan      TryGrow in place, or Drop and Give          runs of 2^k units: room to grow
///   commit    Commit: address, first token to gather      the publish writes the one and copies from the other on
///   truncate  Truncate: fewer tokens, upper halves free
/// </code>
/// </summary>
internal sealed class Windows(EngineState state)
{
    /// <summary>Layouts of the pool by tenant and order, once a client of the tenant has opened a window.</summary>
    private int[][] _poolLayouts = [];

    /// <summary>Orders that runs of the pool have.</summary>
    private readonly int _orders = BitOperations.Log2((uint)state.Pool.Units.Count) + 1;

    public void Open(SequenceState sequence, int r)
    {
        CheckIsClosed(sequence.OpenWindows, r, state.LayoutOf(sequence, r).WindowTokens, sequence.Id);
        EnsurePoolLayouts(state.TenantOf(sequence));
        sequence.Rows[r].Window ??= new SequenceWindow();
        sequence.OpenWindows |= 1UL << r;
    }

    /// <summary>Closes a window for steps begun later; it keeps its bytes as long as a step that uses it waits.</summary>
    public void Close(SequenceState sequence, int r)
    {
        CheckIsOpen(sequence.OpenWindows, r, sequence.Id);
        sequence.OpenWindows &= ~(1UL << r);
        DropClosed(sequence);
    }

    /// <summary>Bytes of the pool that an open window has.</summary>
    public long BytesOf(SequenceState sequence, int r)
    {
        CheckIsOpen(sequence.OpenWindows, r, sequence.Id);
        return BytesOf(sequence.Rows[r].Window);
    }

    /// <summary>Whether a layout is among those of a mask.</summary>
    public static bool IsOpen(ulong windows, int r) => (windows >> r & 1) != 0;

    /// <summary>Checks that a window is closed, and may be opened.</summary>
    /// <exception cref="KvException">It is open, or the layout has a sliding window.</exception>
    public static void CheckIsClosed(ulong windows, int r, int windowTokens, uint sequence)
    {
        if (windowTokens > 0)
        {
            throw new KvException(KvError.InvalidArgument, $"Layout {r} has a sliding window: tokens before it need not be on the device, so it has no contiguous windows.");
        }

        if (IsOpen(windows, r))
        {
            throw new KvException(KvError.InvalidArgument, $"The window of layout {r} of sequence {sequence} is open.");
        }
    }

    /// <summary>Checks that a window is open.</summary>
    /// <exception cref="KvException">It is not.</exception>
    public static void CheckIsOpen(ulong windows, int r, uint sequence)
    {
        if (!IsOpen(windows, r))
        {
            throw new KvException(KvError.InvalidArgument, $"The window of layout {r} of sequence {sequence} is not open.");
        }
    }

    /// <summary>The order that a window needs for so many tokens: a layout of the pool, or −1 if the pool has no run as long.</summary>
    public int OrderFor(in ModelLayout layout, int tokens)
    {
        var bytes = tokens * (long)layout.Window.TokenStride;
        var order = 0;
        while (state.Options.UnitBytes << order < bytes)
        {
            order++;
        }

        return order < _orders ? order : -1;
    }

    public int PoolLayoutOf(TenantState tenant, int order) => _poolLayouts[tenant.Number][order];

    public long BytesOf(int order) => state.Options.UnitBytes << order;

    public long BytesOf(SequenceWindow? window) => window is { HasBytes: true } ? BytesOf(window.Order) : 0;

    /// <summary>The first unit of a window that has bytes.</summary>
    public int RunOf(SequenceWindow window) => state.Blocks[window.Block].Device.Segment;

    /// <summary>Bytes that the client pins no longer once the window has been dropped: those that no point keeps.</summary>
    public long UnpinnedBytesOf(SequenceState sequence, SequenceWindow window) =>
        window.HasBytes && FrontierOf(sequence, window).Points.IsEmpty ? BytesOf(window.Order) : 0;

    /// <summary>
    /// Hands out a run of units that are free: the lower half of a larger one, if there is one that waits for no lane, so that the window can grow into the
    /// upper half.
    /// </summary>
    public bool TryAllocate(int order, LaneState lane, out BlockAddress bytes, out Frontier frontier)
    {
        var layouts = _poolLayouts[lane.Client.Tenant.Number];
        // Where memory comes later, to try is to ask for it: not for twice what is needed.
        if (order + 1 < _orders && !state.PoolMemory.ComesLater && state.Pool.TryAllocate(layouts[order + 1], Point.BackgroundLane, out bytes, out frontier))
        {
            state.Pool.Halve(bytes, layouts[order], in frontier);
            return true;
        }

        return state.Pool.TryAllocate(layouts[order], lane.Number, out bytes, out frontier);
    }

    /// <summary>Grows a window in place to an order, if all units behind it can be had.</summary>
    /// <returns>Whether it has that order.</returns>
    public bool TryGrow(SequenceState sequence, SequenceWindow window, int order, LaneState lane)
    {
        if (!window.HasBytes || (window.Order < order && !state.Pool.CanGrow(state.Blocks[window.Block].Device, order, lane.Number)))
        {
            return false;
        }

        while (window.Order < order && state.Pool.TryDouble(state.Blocks[window.Block].Device, PoolLayoutOf(lane.Client.Tenant, window.Order + 1), lane.Number, ref window.Fresh))
        {
            Resize(sequence, window, window.Order + 1);
            state.Counters.WindowsGrown++;
        }

        return window.Order >= order;
    }

    /// <summary>Gives up a window's bytes: they are free with their frontier.</summary>
    public void Drop(SequenceState sequence, SequenceWindow window)
    {
        if (!window.HasBytes)
        {
            return;
        }

        state.Pool.Free(state.Blocks[window.Block].Device, FrontierOf(sequence, window));
        Add(sequence, -BytesOf(window.Order));
        state.Blocks.Delete(window.Block);
        state.Windows--;
        window.Block = -1;
        window.Tokens = RuleFaults.Is(RuleFault.EmptiedWindowCurrent) ? window.Tokens : 0;
        window.Fresh = default;
    }

    /// <summary>Gives up all windows of a sequence. Those that are open stay open.</summary>
    public void DropAll(SequenceState sequence)
    {
        for (var r = 0; sequence.WindowBytes > 0; r++)
        {
            if (sequence.Rows[r].Window is { } window)
            {
                Drop(sequence, window);
            }
        }
    }

    /// <summary>Gives up the windows that the client has closed, once no step waits that uses them.</summary>
    public void DropClosed(SequenceState sequence)
    {
        for (var r = 0; sequence.WindowBytes > 0 && sequence.WaitingSteps == 0 && r < sequence.Rows.Length; r++)
        {
            if (!IsOpen(sequence.OpenWindows, r) && sequence.Rows[r].Window is { } window)
            {
                Drop(sequence, window);
            }
        }
    }

    /// <summary>Tokens of a row have been taken away: the window has no more, and gives up the upper halves that it does not need.</summary>
    public void Truncate(SequenceState sequence, int r)
    {
        if (sequence.Rows[r].Window is not { HasBytes: true } window)
        {
            return;
        }

        window.Tokens = Math.Min(window.Tokens, sequence.Tokens);
        if (sequence.Tokens == 0)
        {
            Drop(sequence, window);
            return;
        }

        var order = OrderFor(state.LayoutOf(sequence, r), sequence.Tokens);
        while (window.Order > order)
        {
            state.Pool.Halve(state.Blocks[window.Block].Device, PoolLayoutOf(state.TenantOf(sequence), window.Order - 1), FrontierOf(sequence, window));
            Resize(sequence, window, window.Order - 1);
            state.Counters.WindowsHalved++;
        }
    }

    /// <summary>Gives a window that has no bytes a run.</summary>
    public void Give(SequenceState sequence, int r, int order, BlockAddress bytes, ref readonly Frontier frontier)
    {
        var window = sequence.Rows[r].Window!;
        window.Block = state.Blocks.Create(sequence.Index, r, BlockState.WindowIndex);
        window.Order = order;
        window.Fresh = frontier;
        state.Blocks[window.Block].Device = bytes;
        state.Pool.SetHolder(bytes, window.Block);
        state.Windows++;
        Add(sequence, BytesOf(order));
        if (!sequence.IsListed && !RuleFaults.Is(RuleFault.WindowNotListed))
        {
            // Should the step turn out Busy, the run is to be found.
            state.Policy.Touch(sequence);
        }
    }

    /// <summary>A step that is being committed uses a window.</summary>
    /// <returns>Where it lies in the pool, and the first token that the publish must gather: as many as there are, if none.</returns>
    public (long Offset, int First) Commit(Submission publish, SequenceState sequence, int r, int newTokens, Point end)
    {
        var window = sequence.Rows[r].Window!;
        var first = RuleFaults.Is(RuleFault.WindowMissesAppend) && window.Tokens > 0 ? sequence.Tokens : window.Tokens;
        state.Tracker.Window(publish, sequence, in window.Fresh, isGathered: first < sequence.Tokens, state.Scrub(publish, state.Blocks[window.Block].Device), end);
        state.Counters.BytesGathered += (sequence.Tokens - first) * (long)state.LayoutOf(sequence, r).Window.TokenStride;
        window.Fresh = default;
        window.Tokens = sequence.Tokens + newTokens;
        return (state.Pool.OffsetOf(state.Blocks[window.Block].Device), first);
    }

    private Frontier FrontierOf(SequenceState sequence, SequenceWindow window) => state.Tracker.BytesOf(ref state.Blocks[window.Block], sequence);

    private void Resize(SequenceState sequence, SequenceWindow window, int order)
    {
        Add(sequence, BytesOf(order) - BytesOf(window.Order));
        window.Order = order;
    }

    private void Add(SequenceState sequence, long bytes)
    {
        sequence.WindowBytes += bytes;
        state.WindowBytes += bytes;
        state.AddResident(sequence, bytes);
    }

    private void EnsurePoolLayouts(TenantState tenant)
    {
        if (tenant.Number >= _poolLayouts.Length)
        {
            Array.Resize(ref _poolLayouts, tenant.Number + 1);
        }

        if (_poolLayouts[tenant.Number] is not null)
        {
            return;
        }

        var before = state.Pool.Layouts;
        var layouts = _poolLayouts[tenant.Number] = new int[_orders];
        for (var order = 0; order < _orders; order++)
        {
            layouts[order] = state.Pool.AddLayout(BytesOf(order), tenant.Number);
        }

        state.WindowLayouts += state.Pool.Layouts - before;
    }
}
