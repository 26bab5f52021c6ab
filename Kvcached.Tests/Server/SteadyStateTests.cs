using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>What the thread of a daemon's engine allocates once it has come to rest.</summary>
public sealed class SteadyStateTests
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_daemons_thread_allocates_nothing_for_steps_that_evict_and_reload()
    {
        using var folder = new SocketFolder();
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        using var daemon = new TestDaemon(new ServerOptions { Socket = folder.Socket, PoolBytes = 4 << 20, ColdBytes = 16 << 20 });
        using var cache = daemon.Connect(device);
        var lane = cache.OpenLane();
        var model = cache.RegisterModel("m", new KvLayout { Layers = 1, Heads = 2, HeadDim = 64 });
        KvSequence[] sequences = [model.CreateSequence(), model.CreateSequence(), model.CreateSequence(), model.CreateSequence()];

        // 150 blocks of 8 KiB each: three fit.
        Array.ForEach(sequences, sequence => Step(cache, lane, sequence, 150 * 16));
        Run(100);
        var reloaded = cache.GetStatistics().ReloadedBlocks;
        var before = await AllocatedAsync(daemon);
        Run(300);

        // What the question itself allocates, several times over: not one object for four steps.
        var allocated = await AllocatedAsync(daemon) - before;
        Assert.True(allocated < 300 / 4 * 24, $"300 steps allocated {allocated} bytes.");
        Assert.True(cache.GetStatistics().ReloadedBlocks - reloaded > 300, "No step had blocks to reload.");

        void Run(int steps)
        {
            for (var i = 0; i < steps; i++)
            {
                Step(cache, lane, sequences[i % sequences.Length], 0);
            }
        }
    }

    private static Task<long> AllocatedAsync(TestDaemon daemon) => daemon.Server.PostAsync(GC.GetAllocatedBytesForCurrentThread);

    private static void Step(KvCache cache, KvLane lane, KvSequence sequence, int tokens)
    {
        var step = lane.Begin([new KvStepItem(sequence, tokens)]);
        Assert.True(cache.Wait(step.Begin, _limit));
        step.End.Timeline.Signal(step.End.Value);
        Assert.True(cache.Wait(step.End, _limit));
    }
}
