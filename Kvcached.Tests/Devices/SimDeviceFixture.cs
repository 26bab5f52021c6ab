using Kvcached.Devices;
using Kvcached.Devices.Sim;

namespace Kvcached.Tests.Devices;

/// <summary>
/// A simulated device that runs when a test waits. The suite's hosts signal what they have not promised; its words are tracked one by
/// one.
/// </summary>
public sealed class SimDeviceFixture(ulong seed) : DeviceFixture
{
    public override SimDevice Device { get; } = new(new SimOptions
    {
        Seed = seed,
        Kernels = SimTestKernels.All,
        CellBytes = _ => sizeof(uint),
        RequirePromises = false,
        Returns = label => label == "elastic" ? MemoryReturn.Later : MemoryReturn.AtOnce,
    });

    public override bool Reach(TimelinePoint point, TimeSpan timeout) => Device.RunUntil(point) && point.IsReached;
}

/// <summary>The suite on a few seeds, each another order of slices.</summary>
public abstract class SimDeviceConformance(ulong seed) : DeviceConformance
{
    protected override DeviceFixture CreateFixture() => new SimDeviceFixture(seed);
}

public sealed class SimDeviceConformanceTests() : SimDeviceConformance(seed: 1);

public sealed class SimDeviceConformanceOfAnotherSeedTests() : SimDeviceConformance(seed: 2);

/// <summary>The suite's kernels for the simulated device, a word or an item a slice.</summary>
internal static class SimTestKernels
{
    public static IReadOnlyList<SimKernel> All { get; } =
    [
        new SimDelegateKernel(TestKernels.AddU32, AddU32),
        new SimDelegateKernel(TestKernels.CountItems, CountItems),
        new SimDelegateKernel(TestKernels.CopyIndirect, CopyIndirect),
    ];

    private static bool AddU32(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<AddArguments>();
        if (slice < (int)arguments.Words)
        {
            Add(ref context, arguments.Address + ((ulong)slice * sizeof(uint)), (uint)arguments.Addend);
        }

        return slice + 1 >= (int)arguments.Words;
    }

    private static bool CountItems(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<CountItemsArguments>();
        var items = (int)context.Read<uint>(arguments.Items);
        if (slice < items)
        {
            Add(ref context, arguments.Counters + ((ulong)slice * sizeof(uint)), 1);
        }

        return slice + 1 >= items;
    }

    private static bool CopyIndirect(ref SimKernelContext context, int slice)
    {
        ref readonly var arguments = ref context.ArgumentsAs<CopyIndirectArguments>();
        var index = context.Read<uint>(arguments.Index);
        context.Write(arguments.Target, context.Read<uint>(arguments.Words + (index * sizeof(uint))));
        return true;
    }

    private static void Add(ref SimKernelContext context, ulong address, uint addend) =>
        context.Write(address, context.Read<uint>(address) + addend);
}
