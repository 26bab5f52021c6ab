using System.Runtime.InteropServices;
using Kvcached.Kernels;

namespace Kvcached.Tests.Devices;

/// <summary>The kernels of <see cref="TestKernels"/>, and a few more for the cpu device alone.</summary>
internal static unsafe class CpuTestKernels
{
    /// <summary>No arguments: two items, the second of which throws.</summary>
    internal const string Throw = "test.throw";

    /// <summary>No arguments: asks for fewer items than none.</summary>
    internal const string NegativeItems = "test.negative_items";

    /// <summary><see cref="WorkerArguments"/>: a worker's word is 1 while an item runs on it; Errors counts workers out of range or taken twice, and arguments that are not aligned to 16 bytes.</summary>
    internal const string CheckWorkers = "test.check_workers";

    /// <summary><see cref="SlowHelperArguments"/>: two items. Worker 0's does not end before a helper has begun the other, which takes long and then writes 1 to Result.</summary>
    internal const string SlowHelper = "test.slow_helper";

    /// <summary><see cref="MixArguments"/>: one item per word of a group; makes a group of a number and three other groups.</summary>
    internal const string Mix = "test.mix";

    /// <summary>Words of a group.</summary>
    internal const int MixWords = 3;

    internal static IReadOnlyList<CpuKernel> All { get; } =
    [
        new(TestKernels.AddU32, &AddItems, &Add),
        new(TestKernels.CopyIndirect, &OneItem, &CopyIndirect),
        new(TestKernels.CountItems, &CountItems, &CountItem),
        new(Throw, &TwoItems, &ThrowOnSecond),
        new(NegativeItems, &LessThanNoItems, &ThrowOnSecond),
        new(CheckWorkers, &WorkerItems, &CheckWorker),
        new(SlowHelper, &TwoItems, &AwaitHelperOrBeSlow),
        new(Mix, &MixItems, &MixItem),
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

    private static int LessThanNoItems(void* arguments) => -3;

    private static int WorkerItems(void* arguments) => ((WorkerArguments*)arguments)->Items;

    private static void CheckWorker(void* arguments, int item, int worker)
    {
        var a = (WorkerArguments*)arguments;
        ref var errors = ref *(int*)a->Errors;
        if ((ulong)arguments % 16 != 0 || worker < 0 || worker >= a->Workers)
        {
            Interlocked.Increment(ref errors);
            return;
        }

        ref var taken = ref ((int*)a->Taken)[worker];
        if (Interlocked.Exchange(ref taken, 1) != 0)
        {
            Interlocked.Increment(ref errors);
        }

        Thread.SpinWait(20);
        Volatile.Write(ref taken, 0);
    }

    private static void AwaitHelperOrBeSlow(void* arguments, int item, int worker)
    {
        var a = (SlowHelperArguments*)arguments;
        ref var begun = ref *(int*)a->Begun;
        if (worker != 0)
        {
            Volatile.Write(ref begun, 1);
            Thread.Sleep(2);
            Volatile.Write(ref *(int*)a->Result, 1);
        }

        while (Volatile.Read(ref begun) == 0)
        {
            Thread.Yield();
        }
    }

    private static int MixItems(void* arguments) => MixWords;

    private static void MixItem(void* arguments, int item, int worker)
    {
        var a = (MixArguments*)arguments;
        ((uint*)a->Groups)[a->Target * MixWords + item] = MixWord((uint*)a->Groups, *a, item);
    }

    /// <summary>A word of a group. It depends on every word of the three groups that it is made of.</summary>
    internal static uint MixWord(uint* groups, MixArguments a, int item)
    {
        var word = a.Target * 2654435761u + (uint)item;
        for (var i = 0; i < MixWords; i++)
        {
            word = (word ^ groups[a.First * MixWords + i]) * 0x9e3779b1;
            word = (word ^ groups[a.Second * MixWords + i]) * 0x85ebca77;
            word = (word ^ groups[a.Third * MixWords + i]) * 0xc2b2ae3d;
        }

        return word;
    }
}

[StructLayout(LayoutKind.Sequential)]
internal struct WorkerArguments
{
    public ulong Taken;
    public ulong Errors;
    public int Workers;
    public int Items;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SlowHelperArguments
{
    public ulong Begun;
    public ulong Result;
}

[StructLayout(LayoutKind.Sequential)]
internal struct MixArguments
{
    public ulong Groups;
    public uint Target;
    public uint First;
    public uint Second;
    public uint Third;
}
