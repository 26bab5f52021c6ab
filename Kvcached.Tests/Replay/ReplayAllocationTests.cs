using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels.Cpu;
using Xunit;

namespace Kvcached.Tests.Replay;

public class ReplayAllocationTests
{
    [Fact]
    public void The_loop_allocates_nothing_once_it_is_under_way()
    {
        var options = new ReplayOptions { PoolBytes = 4 << 20 };
        var requests = Enumerable.Range(0, 300).Select(i => new TraceRequest(0, 200 + (i % 7 * 50), 40 + (i % 5 * 10))).ToArray();
        var plan = ReplayPlan.Create(options, requests);
        using var device = new ColdMemoryTap(new CpuDevice(new CpuDeviceOptions { Kernels = CpuKernelLibrary.All }));
        using var run = new ReplayRun(device, plan, options);
        var allocated = new List<(long Tokens, long Bytes)>(10_000);
        var report = run.Run(tokens => allocated.Add((tokens, GC.GetAllocatedBytesForCurrentThread())));
        Assert.True(report.Holds);
        Assert.True(report.EvictedBlocks > 1_000);
        // Everything that grows on demand has grown in the first half.
        var settled = allocated.First(sample => sample.Tokens > plan.TotalTokens / 2);
        Assert.Equal(0, allocated[^1].Bytes - settled.Bytes);
    }
}
