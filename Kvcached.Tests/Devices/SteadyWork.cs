using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Two queues that wait on each other, with every kind of command.</summary>
internal sealed class SteadyWork(IDevice device)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly DeviceQueue[] _queues = [device.CreateQueue("even"), device.CreateQueue("odd")];
    private readonly DeviceTimeline _timeline = device.CreateTimeline("turn");
    private readonly DeviceMemory _words = device.Allocate(1 << 16, MemoryKind.Device, "words");
    private readonly DeviceKernel _add = device.LoadKernel(TestKernels.AddU32);
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];

    /// <summary>Works until a stretch of it allocates nothing.</summary>
    internal static void AssertAllocatesNothing(IDevice device)
    {
        const int Windows = 50;
        const ulong Turns = 200;
        var work = new SteadyWork(device);
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
