using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.UpdateTable"/>: write 32-bit entries of a table. Updates take effect in their order: of two for one index
/// the last one stays.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct TableUpdateArguments
{
    /// <summary>Address of the table, uint[].</summary>
    public ulong Table;

    /// <summary>Address of (index, value) pairs, uint[<see cref="Count"/>][2].</summary>
    public ulong Updates;

    /// <summary>Pairs.</summary>
    public uint Count;

    /// <summary>Zero.</summary>
    public uint Reserved;
}
