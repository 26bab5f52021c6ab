using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>
/// Arguments of the attention kernels: the softmax attention of new tokens to all visible tokens of their sequence, themselves included,
/// for one layer. Query head h reads KV head h / (QueryHeads / Shape.Heads). Decode computes the last position of each sequence only,
/// prefill all NewTokens of them; both give the same bits for a position, however a prompt is cut into steps.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct AttentionArguments
{
    /// <summary>Largest head dimension that the attention kernels take.</summary>
    public const int MaxHeadDim = 4096;

    /// <summary>Tokens of one part of a decode: parts begin at multiples of it, so they come from the token count alone.</summary>
    public const int PartTokens = 256;

    /// <summary>The sequences and their KV.</summary>
    public KvBatch Kv;

    /// <summary>Address of float32 [new tokens of all sequences][QueryHeads][Shape.HeadDim].</summary>
    public ulong Queries;

    /// <summary>Address of the results, of the shape of the queries. Rows of positions that a kernel does not compute are left untouched.</summary>
    public ulong Outputs;

    /// <summary>Address of uint[Batch]: the row of each sequence's first new token in queries and outputs.</summary>
    public ulong RowStarts;

    /// <summary>Decode and merge: address of <see cref="PartialBytes"/> bytes, written by decode and read by merge.</summary>
    public ulong Partials;

    /// <summary>Decode and merge: parts per sequence that <see cref="Partials"/> has room for. A sequence that needs more is passed over.</summary>
    public uint MaxParts;

    /// <summary>Query heads: a multiple of Shape.Heads.</summary>
    public uint QueryHeads;

    /// <summary>Sliding window: a position sees itself and the WindowTokens − 1 before it; 0 for all.</summary>
    public uint WindowTokens;

    /// <summary>Factor of the scores before the softmax, usually 1/√HeadDim.</summary>
    public float Scale;

    /// <summary>Parts of a sequence of so many tokens.</summary>
    public static uint PartsFor(uint tokens) => (tokens + PartTokens - 1) / PartTokens;

    /// <summary>Bytes that <see cref="Partials"/> must have.</summary>
    public static ulong PartialBytes(uint batch, uint queryHeads, uint headDim, uint maxParts) =>
        (ulong)batch * maxParts * queryHeads * (headDim + 2) * sizeof(float);

    /// <summary>Checks what can be checked on the host before a launch; the kernels themselves assume it.</summary>
    /// <exception cref="ArgumentException">A value lies outside its limits; the message names both.</exception>
    public readonly void Validate()
    {
        Kv.Validate();
        if (Kv.Shape.HeadDim is 0 or > MaxHeadDim)
        {
            throw new ArgumentException($"HeadDim is {Kv.Shape.HeadDim}; attention takes 1 to {MaxHeadDim}.");
        }

        if (Kv.Shape.Heads == 0 || QueryHeads == 0 || QueryHeads % Kv.Shape.Heads != 0)
        {
            throw new ArgumentException($"QueryHeads is {QueryHeads}; it must be a positive multiple of the {Kv.Shape.Heads} KV heads.");
        }
    }
}
