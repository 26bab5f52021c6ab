using System.Globalization;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Runs alone: other tests' allocations and threads would be counted.</summary>
[CollectionDefinition(nameof(CpuDeviceCostTests), DisableParallelization = true)]
[Collection(nameof(CpuDeviceCostTests))]
public sealed class CpuDeviceCostTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 3, Kernels = CpuTestKernels.All });

    public void Dispose() => _device.Dispose();

    [Fact]
    public void Submissions_in_steady_use_allocate_no_managed_memory() => SteadyWork.AssertAllocatesNothing(_device);

    [Fact]
    public void An_idle_device_takes_no_processor_time()
    {
        var work = new SteadyWork(_device);
        work.Run(1, 100);
        var never = _device.CreateTimeline("never");
        _device.CreateQueue("waiting").Submit([new WaitPoint(never, 1)], new CommandList(), new TimelinePoint(never, 2));

        var least = long.MaxValue;

        // A thread that spins would take some 40 ticks of 10 ms in every window; falling asleep takes less than one of each, once.
        for (var window = 0; window < 3 && least > 8; window++)
        {
            var before = ProcessorTicks();
            Assert.False(never.WaitOnHost(1, TimeSpan.FromMilliseconds(400)));
            least = Math.Min(least, ProcessorTicks() - before);
        }

        Assert.InRange(least, 0, 8);
    }

    /// <summary>Processor time of the device's threads so far, in ticks of 10 ms (proc(5), <c>stat</c>, fields 14 and 15).</summary>
    private static long ProcessorTicks()
    {
        var ticks = 0L;
        var threads = 0;
        foreach (var task in Directory.GetDirectories("/proc/self/task"))
        {
            var stat = File.ReadAllText(Path.Combine(task, "stat"));
            var nameEnd = stat.LastIndexOf(')');
            if (stat.Contains("(kvcached ", StringComparison.Ordinal))
            {
                var fields = stat[(nameEnd + 2)..].Split(' ');
                ticks += long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
                threads++;
            }
        }

        Assert.True(threads >= 3, $"{threads} threads of the device were found.");
        return ticks;
    }
}
