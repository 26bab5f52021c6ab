using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>Arguments of <see cref="Embed"/>.</summary>
internal struct EmbedArguments
{
    /// <summary>Address of RowInfo[Rows].</summary>
    public ulong RowInfos;

    /// <summary>Address of int[requests][TokenStride]: prompts, then what <see cref="Sample"/> wrote.</summary>
    public ulong Tokens;

    /// <summary>Address of float[vocabulary][Hidden].</summary>
    public ulong Table;

    /// <summary>Address of float[Rows][Hidden], written.</summary>
    public ulong Output;

    /// <summary>Tokens from one request to the next.</summary>
    public int TokenStride;

    /// <summary>Rows of the step.</summary>
    public int Rows;

    /// <summary>Hidden size.</summary>
    public int Hidden;
}

/// <summary>Looks up the embedding of each row's token. The token is read on the device, so a step can feed the next without the host.</summary>
internal static unsafe class Embed
{
    public const string Name = "demo.embed";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    private static int Items(void* arguments) => ((EmbedArguments*)arguments)->Rows;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (EmbedArguments*)arguments;
        var info = ((RowInfo*)a->RowInfos)[item];
        var output = new Span<float>((float*)a->Output + ((long)item * a->Hidden), a->Hidden);
        if (info.Request < 0)
        {
            output.Clear();
            return;
        }

        var token = ((int*)a->Tokens)[((long)info.Request * a->TokenStride) + info.Position];
        new ReadOnlySpan<float>((float*)a->Table + ((long)token * a->Hidden), a->Hidden).CopyTo(output);
    }
}
