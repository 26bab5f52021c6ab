using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>I8: bytes that may be another tenant's are filled with zeros before a step writes into them, unless they are overwritten as a whole; and nothing else is.</summary>
public class ScrubTests
{
    [Fact]
    public void A_tenant_alone_never_scrubs()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var party = Open(rig);
        for (var i = 0; i < 8; i++)
        {
            party.CreateIdle(4);
        }

        Assert.Equal((0L, 24L), (rig.Counters.BytesScrubbed, rig.Counters.EvictedBlocks));
    }

    [Fact]
    public void New_blocks_in_another_tenants_bytes_are_filled_by_their_publish_which_waits_for_what_uses_the_bytes()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var (a, b) = (Open(rig), Open(rig));
        a.CreateIdle(4);
        var sequence = b.Create();

        var submissions = rig.Accept(b.Lane, (sequence, 3 * 4));

        // The background queue copies out what the other tenant has, and the publish fills the three blocks in one go.
        var (copyOut, publish) = (submissions[0], submissions[1]);
        Assert.Equal([new EngineWait(copyOut.Signal, WaitReason.ScrubAfterTransfer)], publish.Waits);
        var fill = Assert.Single(publish.Of(CommandKind.Fill)).Command;
        Assert.Equal((rig.Pool, rig.OffsetOf(sequence, 0), 3L * EngineRig.BlockBytes, (byte)0), (fill.Target, fill.TargetOffset, fill.Bytes, fill.FillValue));

        // The fourth block is filled when it is first used, and never again.
        rig.ObserveAll();
        Assert.Equal(EngineRig.BlockBytes, Filled(rig.Accept(b.Lane, (sequence, 4))));
        rig.ObserveAll();
        rig.Engine.Sequences.Free(b.Client, sequence);
        Assert.Equal(0, Filled(rig.Accept(b.Lane, (b.Create(), 4 * 4))));
    }

    [Fact]
    public void Bytes_that_a_step_of_the_lane_reads_and_a_copy_out_of_it_are_not_filled_before_these()
    {
        // Segments of one unit of both tenants, and both tenants' bytes in each: the lane takes its own back, in blocks of another size.
        var rig = new EngineRig(poolBlocks: 4);
        var (a, b) = (Open(rig), Open(rig));
        var wide = rig.Register(b.Client, EngineRig.Layout(blockBytes: 2 * EngineRig.BlockBytes));
        a.CreateIdle(4);
        var sequence = b.Create();
        rig.Accept(b.Lane, (sequence, 3 * 4));
        rig.ObserveTransfers();

        var submissions = rig.Accept(b.Lane, (rig.Create(b.Client, wide), 4));

        var (copyOut, publish) = (submissions[0], submissions[1]);
        Assert.Equal([WaitReason.ScrubAfterReaders, WaitReason.ScrubAfterCopyOut], publish.Reasons);
        Assert.Equal((b.Lane.EndOf(1), copyOut.Signal), (publish.WaitFor(WaitReason.ScrubAfterReaders), publish.WaitFor(WaitReason.ScrubAfterCopyOut)));
        Assert.Equal(2 * EngineRig.BlockBytes, Filled(submissions));
    }

    [Fact]
    public void What_is_reloaded_or_moved_over_another_tenants_bytes_needs_no_scrub_before_or_after()
    {
        var rig = new EngineRig(poolBlocks: 8);
        var (a, b) = (Open(rig), Open(rig));
        var sequence = b.CreateIdle(4);
        rig.Engine.Transfers.Evict(b.Lane, sequence);
        rig.ObserveAll();
        var other = a.CreateIdle(8);
        rig.Engine.Tick(TenantTable.IdleAfter);
        rig.Engine.Sequences.Free(a.Client, other);

        Assert.Equal(0, Filled(rig.Accept(b.Lane, (sequence, 0))));
        rig.ObserveAll();
        Assert.Equal(4L, rig.Counters.ReloadedBlocks);
        Assert.Equal(4, rig.Engine.Transfers.Move(b.Lane, sequence, 0, 4, background: true));
        rig.ObserveAll();
        rig.Engine.Sequences.Free(b.Client, sequence);

        // All eight blocks have been overwritten.
        Assert.Equal(0, Filled(rig.Accept(b.Lane, (b.Create(), 8 * 4))));
    }

    [Fact]
    public void A_reservation_that_is_given_back_leaves_its_blocks_to_be_scrubbed()
    {
        var rig = new EngineRig(poolBlocks: 8, coldBlocks: 0);
        var (a, b) = (Open(rig), Open(rig));
        var (freed, live) = (a.CreateIdle(4), a.CreateIdle(1));
        rig.Accept(a.Lane, (live, 0));
        rig.Engine.Sequences.Free(a.Client, freed);
        Assert.Equal(KvStepStatus.Busy, rig.Begin(b.Lane, (b.Create(), 5 * 4)));

        rig.Engine.Sequences.Free(a.Client, live);
        rig.Take();
        rig.ObserveAll();

        Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(b.Lane, 1));
        Assert.Equal(5 * EngineRig.BlockBytes, Filled(rig.Take()));
    }

    [Fact]
    public void A_window_is_scrubbed_where_it_is_new_and_not_where_it_has_tokens()
    {
        // Both units that the window grows into had the other tenant's bytes, one after the other.
        var rig = new EngineRig(poolBlocks: 16);
        var b = WithWindows(rig, rig.Engine.OpenTenant(TenantLimits.None));
        var a = Open(rig);
        a.CreateIdle(16);
        foreach (var sequence in rig.Engine.State.Sequences.All.ToArray())
        {
            rig.Engine.Sequences.Free(a.Client, sequence.Handle);
        }

        var own = b.Create();
        rig.Engine.Sequences.OpenWindow(b.Client, own, 0);
        var first = Fills(rig.Accept(b.Lane, (own, 4 * 4)), rig, own);
        rig.ObserveAll();
        var second = Fills(rig.Accept(b.Lane, (own, 4)), rig, own);

        Assert.Equal([(0L, (long)EngineRig.UnitBytes)], first);
        Assert.Equal([(EngineRig.UnitBytes, (long)EngineRig.UnitBytes)], second);
    }

    [Fact]
    public void What_is_trimmed_and_comes_back_is_nobodys()
    {
        var rig = new EngineRig(poolBlocks: 8, floorBlocks: 0, compaction: long.MaxValue);
        var (a, b) = (Open(rig), Open(rig));
        rig.Engine.Sequences.Free(a.Client, a.CreateIdle(8));
        rig.Engine.Trim();
        rig.Engine.Turn();
        Assert.NotEmpty(rig.DiscardedBlocks);

        Assert.Equal(0, Filled(rig.Accept(b.Lane, (b.Create(), 8 * 4))));
    }

    [Fact]
    public void A_tenant_that_gets_the_number_of_one_that_was_closed_gets_none_of_its_bytes()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var tenant = rig.Engine.OpenTenant(TenantLimits.None);
        var first = Party.Open(rig, tenant: tenant);
        rig.Engine.Sequences.Free(first.Client, first.CreateIdle(4));
        rig.Engine.ProveGone(first.Client);
        rig.Engine.Turn();
        rig.Engine.CloseTenant(tenant);

        var second = Party.Open(rig, tenant: rig.Engine.OpenTenant(TenantLimits.None));
        Assert.Equal(tenant.Number, second.Client.Tenant.Number);

        Assert.Equal(4 * EngineRig.BlockBytes, Filled(rig.Accept(second.Lane, (second.Create(), 4 * 4))));
    }

    [Fact]
    public void The_tail_of_a_segment_keeps_what_was_in_it()
    {
        // Three blocks of 1,280 bytes leave a tail of 256 in a unit: when all of them are scrubbed, the unit still has other bytes.
        var rig = new EngineRig(poolBlocks: 4);
        var (a, b) = (Open(rig), Open(rig, blockBytes: 1280));
        var whole = rig.Register(b.Client, EngineRig.Layout());
        rig.Engine.Sequences.Free(a.Client, a.CreateIdle(4));
        var sequence = b.Create();
        Assert.Equal(3 * 1280, Filled(rig.Accept(b.Lane, (sequence, 3 * 4))));
        rig.ObserveAll();
        rig.Engine.Sequences.Free(b.Client, sequence);

        Assert.Equal(4 * EngineRig.BlockBytes, Filled(rig.Accept(b.Lane, (rig.Create(b.Client, whole), 4 * 4))));
        rig.ObserveAll();
        foreach (var state in rig.Engine.State.Sequences.All.ToArray().Where(state => state.InUse))
        {
            rig.Engine.Sequences.Free(b.Client, state.Handle);
        }

        // Now it has none.
        Assert.Equal(0, Filled(rig.Accept(b.Lane, (b.Create(), 3 * 4))));
    }

    private static Party Open(EngineRig rig, int blockBytes = EngineRig.BlockBytes) => Party.Open(rig, EngineRig.Layout(blockBytes), tenant: rig.Engine.OpenTenant(TenantLimits.None));

    private static Party WithWindows(EngineRig rig, TenantState tenant)
    {
        var client = rig.Engine.OpenClient(tenant: tenant);
        return new Party(rig, client, rig.Register(client, EngineRig.Layout()), rig.OpenLane(client, windows: true));
    }

    private static long Filled(IEnumerable<Submitted> submissions) => submissions.SelectMany(submission => submission.Of(CommandKind.Fill)).Sum(command => command.Command.Bytes);

    /// <summary>What is filled of a sequence's window, from its start on; blocks aside.</summary>
    private static (long Offset, long Bytes)[] Fills(IEnumerable<Submitted> submissions, EngineRig rig, SequenceHandle sequence)
    {
        var state = rig.Engine.State;
        var window = state.Pool.OffsetOf(state.Blocks[rig.StateOf(sequence).Rows[0].Window!.Block].Device);
        var bytes = rig.Engine.Sequences.WindowBytes(rig.Engine.State.Clients[rig.StateOf(sequence).Client], sequence, 0);
        return
        [
            .. submissions.SelectMany(submission => submission.Of(CommandKind.Fill)).Select(command => (command.Command.TargetOffset - window, command.Command.Bytes))
                .Where(range => range.Item1 >= 0 && range.Item1 < bytes),
        ];
    }
}
