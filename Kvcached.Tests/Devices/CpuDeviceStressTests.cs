using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>The cpu device under random work. Its races one by one: <see cref="Litmus.LitmusTests"/>.</summary>
public sealed class CpuDeviceStressTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(1, 30)]
    [InlineData(2, 0)]
    [InlineData(3, 30)]
    public unsafe void Random_graphs_of_submissions_over_6_queues_come_out_as_in_sequence(int seed, double spin)
    {
        const int Queues = 6;
        const int Nodes = 6000;
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 3, Kernels = CpuTestKernels.All, WorkerSpinMicroseconds = spin });
        var groups = device.Allocate((Nodes + 1) * CpuTestKernels.MixWords * sizeof(uint), MemoryKind.Host, "groups");
        var graph = Graph.Make(seed, Nodes, Queues, groups.Address);
        var kernel = device.LoadKernel(CpuTestKernels.Mix);
        var queues = Enumerable.Range(0, Queues).Select(i => device.CreateQueue($"queue {i}")).ToArray();
        var timelines = Enumerable.Range(0, Queues).Select(i => device.CreateTimeline($"timeline {i}")).ToArray();

        // One submitter per queue, unordered among each other: waits come before their signals as often as after.
        Parallel.For(0, Queues, new ParallelOptions { MaxDegreeOfParallelism = Queues }, q =>
        {
            var commands = new CommandList();
            var waits = new List<WaitPoint>();
            foreach (var node in graph.Nodes.Where(n => n.Queue == q))
            {
                commands.Clear();
                commands.Launch(kernel, node.Arguments);
                waits.Clear();
                foreach (var source in node.Sources.Select(s => graph.Nodes[s]).Where(s => s.Queue != q))
                {
                    waits.Add(new WaitPoint(timelines[source.Queue], source.Value));
                }

                queues[q].Submit(CollectionsMarshal.AsSpan(waits), commands, new TimelinePoint(timelines[q], node.Value));
            }
        });

        for (var q = 0; q < Queues; q++)
        {
            Assert.True(timelines[q].WaitOnHost((ulong)graph.Nodes.Count(n => n.Queue == q), Patience));
        }

        var words = MemoryMarshal.Cast<byte, uint>(groups.HostSpan(0, (int)groups.Bytes)).ToArray();
        var expected = new uint[words.Length];
        fixed (uint* made = expected)
        {
            foreach (var node in graph.Nodes)
            {
                for (var i = 0; i < CpuTestKernels.MixWords; i++)
                {
                    made[node.Arguments.Target * CpuTestKernels.MixWords + i] = CpuTestKernels.MixWord(made, node.Arguments, i);
                }
            }
        }

        Assert.Equal(expected, words);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    public void No_wake_up_is_lost_between_a_launch_and_its_helpers(double spin)
    {
        const int Queues = 3;
        const int Submissions = 200;
        const int Launches = 50;
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 4, Kernels = CpuTestKernels.All, WorkerSpinMicroseconds = spin });
        var kernel = device.LoadKernel(CpuTestKernels.CheckWorkers);
        var words = device.Allocate(Queues * 4096, MemoryKind.Host, "words");
        RunThreads(Queues, q =>
        {
            var (queue, timeline, commands, random) = (device.CreateQueue("queue"), device.CreateTimeline("timeline"), new CommandList(), new Random(q));
            var taken = words.Address + ((ulong)q * 4096);
            for (var i = 1ul; i <= Submissions; i++)
            {
                commands.Clear();
                for (var k = 0; k < Launches; k++)
                {
                    commands.Launch(kernel, new WorkerArguments { Taken = taken, Errors = taken + 1024, Workers = 4, Items = random.Next(1, 6) });
                }

                queue.Submit([], commands, new TimelinePoint(timeline, i));
                Assert.True(timeline.WaitOnHost(i, Patience), $"Submission {i} of queue {q} did not end.");
            }
        });
        for (var q = 0; q < Queues; q++)
        {
            Assert.Equal(0, MemoryMarshal.Read<int>(words.HostSpan((q * 4096) + 1024, 4)));
        }
    }

    [Fact]
    public async Task A_queue_ends_at_whatever_moment_it_is_disposed()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        var never = device.CreateTimeline("never");
        var timeline = device.CreateTimeline("timeline");
        var commands = new CommandList();
        var random = new Random(1);
        await Task.Run(() =>
        {
            for (var i = 0; i < 400; i++)
            {
                var queue = device.CreateQueue($"queue {i}");
                if (i % 4 != 0)
                {
                    queue.Submit([new WaitPoint(never, 1)], commands, new TimelinePoint(timeline, 1));
                }

                Thread.SpinWait(random.Next(3000));
                queue.Dispose();
            }
        }).WaitAsync(Patience);
        Assert.Equal(0ul, timeline.Value);
    }

    /// <summary>Runs a body on threads of its own, so that none waits for a pool thread, and passes failures on.</summary>
    private static void RunThreads(int count, Action<int> body)
    {
        var failures = new Exception?[count];
        var threads = Enumerable.Range(0, count).Select(t => new Thread(() => failures[t] = Record.Exception(() => body(t)))).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        Assert.All(failures, Assert.Null);
    }

    /// <summary>Nodes in an order in which each is made of earlier ones, most of them recent.</summary>
    private sealed record Graph(Graph.Node[] Nodes)
    {
        internal static Graph Make(int seed, int count, int queues, ulong groups)
        {
            var random = new Random(seed);
            var values = new ulong[queues];
            var nodes = new Node[count];
            for (var i = 0; i < count; i++)
            {
                var queue = random.Next(queues);

                // Node i makes group i + 1; group 0 is made by nobody, so that the first nodes have something to read.
                uint Source() => (uint)Math.Max(0, i - random.Next(random.Next(2) == 0 ? 8 : 200));
                var arguments = new MixArguments { Groups = groups, Target = (uint)i + 1, First = Source(), Second = Source(), Third = Source() };
                nodes[i] = new Node(queue, ++values[queue], arguments, [.. from source in (uint[])[arguments.First, arguments.Second, arguments.Third] where source > 0 select source - 1]);
            }

            return new Graph(nodes);
        }

        internal sealed record Node(int Queue, ulong Value, MixArguments Arguments, uint[] Sources);
    }
}
