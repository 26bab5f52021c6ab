using Kvcached.Kernels;

namespace Kvcached.Tests.Devices;

/// <summary>The kernels of <see cref="TestKernels"/>, and a few more for the cpu device alone.</summary>
internal static unsafe class CpuTestKernels
{
    /// <summary>No arguments: two items, the second of which throws.</summary>
    internal const string Throw = "test.throw";

    internal static IReadOnlyList<CpuKernel> All { get; } =
    [
        new(TestKernels.AddU32, &AddItems, &Add),
        new(TestKernels.CopyIndirect, &OneItem, &CopyIndirect),
        new(TestKernels.CountItems, &CountItems, &CountItem),
        new(Throw, &TwoItems, &ThrowOnSecond),
    ];

    private static int AddItems(void* arguments) => (int)((AddArguments*)arguments)->Words;

    private static void Add(void* arguments, int item, int worker)
    {
        var a = (AddArguments*)arguments;
        ((uint*)a->Address)[item] += a->Addend;
    }

    private static int OneItem(void* arguments) => 1;

    private static void CopyIndirect(void* arguments, int item, int worker)
    {
        var a = (CopyIndirectArguments*)arguments;
        *(uint*)a->Target = ((uint*)a->Words)[*(uint*)a->Index];
    }

    private static int CountItems(void* arguments) => (int)*(uint*)((CountItemsArguments*)arguments)->Items;

    private static void CountItem(void* arguments, int item, int worker) => ((uint*)((CountItemsArguments*)arguments)->Counters)[item]++;

    private static int TwoItems(void* arguments) => 2;

    private static void ThrowOnSecond(void* arguments, int item, int worker)
    {
        if (item == 1)
        {
            throw new InvalidOperationException("Item 1 throws.");
        }
    }
}
