using Kvcached.Engine;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>Room from what a sliding window has left behind, and from windows of units that other block sizes hold.</summary>
public class WindowRoomTests
{
    [Fact]
    public void A_windowed_sequence_longer_than_the_pool_goes_on()
    {
        var rig = new EngineRig(poolBlocks: 4);
        var client = Party.Open(rig, EngineRig.Layout(window: 2));
        GoOn(rig, client, blocks: 12);
    }

    [Fact]
    public void A_windowed_sequence_longer_than_what_its_client_may_pin_goes_on()
    {
        var rig = new EngineRig(poolBlocks: 16);
        var client = Party.Open(rig, EngineRig.Layout(window: 2), maxPinnedBlocks: 4);
        GoOn(rig, client, blocks: 12);
    }

    [Fact]
    public void A_window_of_clean_blocks_is_emptied_although_the_cheapest_has_no_cold_slots()
    {
        var rig = new EngineRig(poolBlocks: 8, coldBlocks: 4);
        var client = Party.Open(rig);
        var (small, large) = (rig.Register(client.Client, EngineRig.Layout(blockBytes: 512)), rig.Register(client.Client, EngineRig.Layout(blockBytes: EngineRig.UnitBytes)));
        var clean = client.CreateIdle(4);
        var dirty = rig.Create(client.Client, small);
        rig.Accept(client.Lane, (dirty, 4));
        Assert.Equal(4, rig.Engine.Transfers.Clean(client.Lane, clean));
        rig.ObserveAll();

        rig.Accept(client.Lane, (rig.Create(client.Client, large), 4));

        Assert.Equal((0, 1), (rig.StateOf(clean).Rows[0].ResidentBlocks, rig.StateOf(dirty).Rows[0].ResidentBlocks));
    }

    private static void GoOn(EngineRig rig, Party client, int blocks)
    {
        var sequence = client.Create();
        for (var step = 1UL; step <= (ulong)(blocks * EngineRig.TokensPerBlock); step++)
        {
            rig.Begin(client.Lane, (sequence, 1));
            rig.ObserveAll();
            Assert.Equal(KvStepStatus.Accepted, CacheEngine.StatusOf(client.Lane, step));
            rig.ObserveAll();
        }

        Assert.Equal(blocks, rig.StateOf(sequence).Rows[0].Count);
    }
}
