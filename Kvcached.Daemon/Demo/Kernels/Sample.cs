using System.Runtime.InteropServices;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>What a run leaves behind for one position of one request: enough to tell two runs apart.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct PositionRecord(ulong LogitsHash, int Token, int Written);

/// <summary>Arguments of <see cref="Sample"/>.</summary>
internal struct SampleArguments
{
    /// <summary>Address of RowInfo[Rows].</summary>
    public ulong RowInfos;

    /// <summary>Address of float[Rows][Vocabulary].</summary>
    public ulong Logits;

    /// <summary>Address of int[requests]: tokens of each prompt.</summary>
    public ulong PromptTokens;

    /// <summary>Address of int[requests][Stride], written past the prompt.</summary>
    public ulong Tokens;

    /// <summary>Address of PositionRecord[requests][Stride], written.</summary>
    public ulong Records;

    /// <summary>Positions from one request to the next.</summary>
    public int Stride;

    /// <summary>Rows of the step.</summary>
    public int Rows;

    /// <summary>Tokens that there are.</summary>
    public int Vocabulary;
}

/// <summary>
/// Greedy sampling on the device: the token with the largest logit (the first of equals) becomes the next one of its sequence, unless
/// the prompt has it already. Each position's token and a hash of all bits of its logits are recorded.
/// </summary>
internal static unsafe class Sample
{
    public const string Name = "demo.sample";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    /// <summary>A 64-bit hash of the bits of <paramref name="values"/>, in order.</summary>
    public static ulong Hash(ReadOnlySpan<float> values)
    {
        var hash = 0xCBF2_9CE4_8422_2325ul;
        foreach (var value in values)
        {
            hash = (hash ^ BitConverter.SingleToUInt32Bits(value)) * 0x9E37_79B9_7F4A_7C15ul;
            hash ^= hash >> 29;
        }

        return hash;
    }

    private static int Items(void* arguments) => ((SampleArguments*)arguments)->Rows;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (SampleArguments*)arguments;
        var info = ((RowInfo*)a->RowInfos)[item];
        if (info.Request < 0)
        {
            return;
        }

        var logits = new ReadOnlySpan<float>((float*)a->Logits + ((long)item * a->Vocabulary), a->Vocabulary);
        var token = 0;
        for (var i = 1; i < logits.Length; i++)
        {
            token = logits[i] > logits[token] ? i : token;
        }

        var place = ((long)info.Request * a->Stride) + info.Position;
        ((PositionRecord*)a->Records)[place] = new PositionRecord(Hash(logits), token, 1);
        if (info.Position + 1 >= ((int*)a->PromptTokens)[info.Request])
        {
            ((int*)a->Tokens)[place + 1] = token;
        }
    }
}
