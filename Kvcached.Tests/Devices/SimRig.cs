using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>A simulated device with a pool, cold memory, two queues and a timeline for each, and words for short programs.</summary>
internal sealed class SimRig : IDisposable
{
    public const int Seeds = 200;

    private readonly CommandList _commands = new();

    public SimRig(ulong seed, SimOptions? options = null)
    {
        Device = new SimDevice((options ?? new SimOptions()) with
        {
            Seed = seed,
            Kernels = [new SumKernel(), new SimDelegateKernel("touch", Touch), new SimDelegateKernel("accuse", Accuse)],
        });
        Pool = Device.Allocate(16 * 1024, MemoryKind.Device, "pool", 256);
        Cold = Device.Allocate(16 * 1024, MemoryKind.Host, "cold", 256);
        A = Device.CreateQueue("a");
        B = Device.CreateQueue("b");
        TimeA = Device.CreateTimeline("ta");
        TimeB = Device.CreateTimeline("tb");
    }

    public SimDevice Device { get; }

    public SimMemory Pool { get; }

    public SimMemory Cold { get; }

    public DeviceQueue A { get; }

    public DeviceQueue B { get; }

    public DeviceTimeline TimeA { get; }

    public DeviceTimeline TimeB { get; }

    /// <summary>Submits what <paramref name="fill"/> adds to the list.</summary>
    public void Submit(DeviceQueue queue, TimelinePoint signal, Action<CommandList>? fill = null, params ReadOnlySpan<WaitPoint> waits)
    {
        _commands.Clear();
        fill?.Invoke(_commands);
        queue.Submit(waits, _commands, signal);
    }

    public void Launch<T>(DeviceQueue queue, TimelinePoint signal, string kernel, T arguments, params ReadOnlySpan<WaitPoint> waits)
        where T : unmanaged
    {
        var loaded = Device.LoadKernel(kernel);
        Submit(queue, signal, list => list.Launch(loaded, arguments), waits);
    }

    public void Dispose() => Device.Dispose();

    /// <summary>Runs a program to its end on every seed and expects no violation.</summary>
    public static void ExpectCleanOnEverySeed(Action<SimRig> program, SimOptions? options = null)
    {
        for (ulong seed = 0; seed < Seeds; seed++)
        {
            using var rig = new SimRig(seed, options);
            program(rig);
            rig.Device.RunUntilIdle();
            Assert.Equal(0, rig.Device.Pending(rig.A) + rig.Device.Pending(rig.B));
        }
    }

    /// <summary>Runs a program to its end on every seed and expects a violation on each: also where the run was lucky.</summary>
    public static SimViolation ExpectViolationOnEverySeed(SimViolationKind kind, Action<SimRig> program, SimOptions? options = null)
    {
        SimViolation? last = null;
        for (ulong seed = 0; seed < Seeds; seed++)
        {
            using var rig = new SimRig(seed, options);
            var thrown = Assert.Throws<SimViolationException>(() =>
            {
                program(rig);
                rig.Device.RunUntilIdle();
            });
            last = thrown.Violation;
            Assert.Equal(kind, last.Kind);
            Assert.Equal(seed, last.Seed);
            Assert.Contains($"seed {seed}", last.Message, StringComparison.Ordinal);
        }

        return last!;
    }

    private static bool Touch(ref SimKernelContext context, int slice)
    {
        context.Write(context.ArgumentsAs<ulong>(), (ulong)slice);
        return slice == 2;
    }

    private static bool Accuse(ref SimKernelContext context, int slice)
    {
        if (context.Read<byte>(context.ArgumentsAs<ulong>()) != 7)
        {
            context.Fail("the byte is not 7");
        }

        return true;
    }

    /// <summary>Adds up bytes, one cell of 256 bytes a slice, and writes the sum.</summary>
    private sealed class SumKernel() : SimKernel("sum")
    {
        public override bool Run(ref SimKernelContext context, int slice)
        {
            ref readonly var arguments = ref context.ArgumentsAs<SumArguments>();
            if ((ulong)slice * 256 == arguments.Bytes)
            {
                context.Write(arguments.Target, context.State);
                return true;
            }

            foreach (var value in context.Read(arguments.Source + ((ulong)slice * 256), 256))
            {
                context.State += value;
            }

            return false;
        }
    }
}

internal readonly record struct SumArguments(ulong Source, ulong Bytes, ulong Target);
