using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of <see cref="KernelNames.WritePaged"/> and <see cref="KernelNames.WriteContiguous"/>: store the keys and values of the new tokens
/// of every sequence, for one layer, in planes 0 and 1. Rounds to nearest even.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct KvWriteArguments
{
    /// <summary>The sequences and their KV.</summary>
    public KvBatch Kv;

    /// <summary>Address of float32 [new tokens of all sequences][Shape.Heads][Shape.HeadDim].</summary>
    public ulong Keys;

    /// <summary>Address of the values, of the shape of the keys.</summary>
    public ulong Values;

    /// <summary>Address of uint[Batch]: the row of each sequence's first new token in keys and values.</summary>
    public ulong RowStarts;
}
