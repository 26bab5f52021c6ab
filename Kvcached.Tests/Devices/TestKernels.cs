using System.Runtime.InteropServices;

namespace Kvcached.Tests.Devices;

/// <summary>
/// Kernels that a device under the conformance suite offers, by name. Addresses are <c>DeviceMemory.Address</c> plus bytes; words have 32 bits.
/// </summary>
public static class TestKernels
{
    /// <summary><see cref="AddArguments"/>: one item per word; word[item] += Addend, modulo 2^32.</summary>
    public const string AddU32 = "test.add_u32";

    /// <summary><see cref="CopyIndirectArguments"/>: one item; index = the word at Index; the word at Target = word index of those at Words.</summary>
    public const string CopyIndirect = "test.copy_indirect";

    /// <summary><see cref="CountItemsArguments"/>: as many items as the word at Items says at execution time; counter[item] += 1.</summary>
    public const string CountItems = "test.count_items";
}

[StructLayout(LayoutKind.Sequential)]
public struct AddArguments
{
    public ulong Address;
    public uint Words;
    public uint Addend;
}

[StructLayout(LayoutKind.Sequential)]
public struct CopyIndirectArguments
{
    public ulong Index;
    public ulong Words;
    public ulong Target;
}

[StructLayout(LayoutKind.Sequential)]
public struct CountItemsArguments
{
    public ulong Items;
    public ulong Counters;
}
