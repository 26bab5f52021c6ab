using Kvcached.Bench.Ratios;
using Kvcached.Engine;
using Kvcached.Sequences;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>What sequences leave behind serves those that come after, however many come.</summary>
public class ChurnTests
{
    private const int Live = 64;
    private const int Batch = 16;
    private const int TokensPerBlock = 16;

    [Fact]
    public void A_million_sequences_that_come_and_go_take_no_more_memory_than_the_first_hundred_thousand()
    {
        var device = new PaperDevice();
        var engine = PaperEngine.Create(device, poolBlocks: 320, coldBlocks: 512, Live);
        var client = engine.OpenClient();
        var model = engine.RegisterModel(client, [PaperEngine.Layout.ToShape()], [0]);
        var lane = PaperEngine.OpenLane(engine, client, depth: 2, Batch);
        var random = new Random(1);
        var sequences = new Queue<SequenceHandle>();
        var batch = new StepRequest[Batch];
        var warm = 0L;
        for (var created = 0; created < 1_000_000; created += Batch)
        {
            if (created == 100_000)
            {
                warm = GC.GetAllocatedBytesForCurrentThread();
            }

            for (var i = 0; i < Batch; i++)
            {
                if (sequences.Count == Live)
                {
                    engine.Sequences.Free(client, sequences.Dequeue());
                }

                // Between 1 and 16 blocks, their number log-uniform: all that live need more than the pool has.
                batch[i] = new StepRequest(engine.Sequences.Create(client, model), (int)(TokensPerBlock * Math.Pow(TokensPerBlock, random.NextDouble())));
                sequences.Enqueue(batch[i].Sequence);
            }

            Step(engine, device, lane, batch);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - warm);
        Assert.True(engine.Counters.EvictedBlocks > 100_000, $"{engine.Counters.EvictedBlocks} blocks evicted");
    }

    private static void Step(CacheEngine engine, PaperDevice device, LaneState lane, StepRequest[] batch)
    {
        engine.Observe(lane.EndOf(1).Timeline, lane.Begun);
        device.ObserveAll(engine, lanes: 1);
        engine.Turn();
        if (engine.Begin(lane, batch) != KvStepStatus.Accepted)
        {
            Assert.Fail($"Step {lane.Begun} is not accepted.");
        }
    }
}
