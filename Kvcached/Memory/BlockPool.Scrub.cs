namespace Kvcached.Memory;

/// <summary>
/// Whose bytes lie where, so that no tenant reads another's (I8). A unit remembers one tenant, or several, or nobody: it has not been used, or has lost its memory since. Of a segment carved over
/// another's bytes, each block is <em>unscrubbed</em> until it has been filled with zeros, or overwritten as a whole; a tail that no block lies in stays as it is.
/// <code>
///   unit    nobody → carved for t → t → carved for another → several → all blocks scrubbed, and no tail → that one's
/// </code>
/// A block that is a whole segment of 2^k units goes unit by unit: it doubles and halves, and only those units are scrubbed that are new to its tenant.
/// </summary>
internal sealed partial class BlockPool
{
    private const int Nobody = -1;
    private const int Several = -2;

    /// <summary>By unit.</summary>
    private readonly int[] _owners;

    /// <summary>
    /// Finds bytes of a block, which has been handed out, that may be another tenant's, and counts them as its own: they are to be filled or overwritten before anything else
    /// uses them. Call until there are none.
    /// </summary>
    public bool TryTakeUnscrubbed(BlockAddress address, out long offset, out long bytes)
    {
        var segment = Units[address.Segment];
        (offset, bytes) = (0, 0);
        if (segment.Unscrubbed == 0)
        {
            return false;
        }

        ref readonly var layout = ref _layouts[segment.Layout];
        if (!layout.IsWhole(_unitBytes))
        {
            (offset, bytes) = (OffsetOf(address), layout.BlockBytes);
            return segment.TakeUnscrubbed(address.Block);
        }

        var start = segment.StartUnit;
        while (!IsForeign(start, layout.Tenant))
        {
            start++;
        }

        var end = start;
        for (; end < segment.StartUnit + segment.Units && IsForeign(end, layout.Tenant); end++)
        {
            _owners[end] = layout.Tenant;
            segment.Unscrubbed--;
        }

        (offset, bytes) = (start * _unitBytes, (end - start) * _unitBytes);
        return true;
    }

    /// <summary>A block is about to be overwritten as a whole.</summary>
    public void Overwrite(BlockAddress address)
    {
        while (TryTakeUnscrubbed(address, out _, out _))
        {
        }
    }

    /// <summary>A tenant that holds nothing ends; another may have its number.</summary>
    public void Forget(int tenant)
    {
        for (var unit = 0; unit < Units.Count; unit += Math.Max(1, Units[unit].Units))
        {
            if (Units[unit] is { State: SegmentState.InUse, Used: 0 } segment && _layouts[segment.Layout].Tenant == tenant)
            {
                ReleaseSegment(segment);
            }
        }

        _owners.AsSpan().Replace(tenant, Several);
    }

    private bool IsForeign(int unit, int tenant) => _owners[unit] is not Nobody and var owner && owner != tenant;

    /// <summary>A run has been carved: notes what of it is to be scrubbed.</summary>
    private void NoteCarved(Segment run, in PoolLayout layout)
    {
        var foreign = NoteUsed(run.StartUnit, run.Units, layout.Tenant);
        if (layout.IsWhole(_unitBytes))
        {
            run.Unscrubbed = foreign;
        }
        else if (foreign > 0)
        {
            _owners.AsSpan(run.StartUnit, run.Units).Fill(Several);
            run.SetUnscrubbed();
        }
    }

    /// <summary>Units become a tenant's that were nobody's. Returns how many are others'.</summary>
    private int NoteUsed(int start, int units, int tenant)
    {
        var foreign = 0;
        foreach (ref var owner in _owners.AsSpan(start, units))
        {
            owner = owner == Nobody ? tenant : owner;
            foreign += owner == tenant ? 0 : 1;
        }

        return foreign;
    }

    /// <summary>A segment is given back: where all of it has been scrubbed or overwritten, nothing but its tenant's bytes is left.</summary>
    private void NoteReleased(Segment segment, in PoolLayout layout)
    {
        if (RuleFaults.Is(RuleFault.OwnerForgotten))
        {
            _owners.AsSpan(segment.StartUnit, segment.Units).Fill(Nobody);
        }
        else if (segment.Unscrubbed == 0 && layout.Capacity * layout.BlockBytes == segment.Units * _unitBytes)
        {
            _owners.AsSpan(segment.StartUnit, segment.Units).Fill(layout.Tenant);
        }
    }
}
