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
    public void Submissions_in_steady_use_allocate_no_managed_memory()
    {
        const int Windows = 50;
        const ulong Turns = 200;
        var work = new Work(_device);
        work.Run(1, 3000);
        var least = long.MaxValue;

        // The test host may allocate beside us, now and then, on a busy machine often; the device would in every window.
        for (var window = 0; window < Windows && least > 0; window++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            work.Run(4000 + ((ulong)window * Turns), Turns);
            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public void An_idle_device_takes_no_processor_time()
    {
        var work = new Work(_device);
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

    /// <summary>Two queues that wait on each other, with every kind of command.</summary>
    private sealed class Work(CpuDevice device)
    {
        private readonly DeviceQueue[] _queues = [device.CreateQueue("even"), device.CreateQueue("odd")];
        private readonly DeviceTimeline _timeline = device.CreateTimeline("turn");
        private readonly DeviceMemory _words = device.Allocate(1 << 16, MemoryKind.Device, "words");
        private readonly DeviceKernel _add = device.LoadKernel(TestKernels.AddU32);
        private readonly CommandList _commands = new();
        private readonly WaitPoint[] _waits = new WaitPoint[1];

        internal void Run(ulong first, ulong count)
        {
            _timeline.Signal(first);
            for (var turn = first + 1; turn <= first + count; turn++)
            {
                _commands.Clear();
                _commands.Copy(_words, 0, _words, 4096, 4096);
                _commands.Fill(_words, 8192, 4096, 3);
                _commands.UpdateTable(_words, (uint)(turn % 1000), (uint)turn);
                _commands.Launch(_add, new AddArguments { Address = _words.Address, Words = (uint)(turn % 5), Addend = 1 });
                _waits[0] = new WaitPoint(_timeline, turn - 1);
                _queues[turn % 2].Submit(_waits, _commands, new TimelinePoint(_timeline, turn));
                if (turn % 500 == 0)
                {
                    Assert.True(_timeline.WaitOnHost(turn, Patience));
                }
            }

            Assert.True(_timeline.WaitOnHost(first + count, Patience));
        }
    }
}
