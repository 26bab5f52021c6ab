using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo.Kernels;

/// <summary>What one row of a step's activations stands for.</summary>
internal struct RowInfo
{
    /// <summary>Number of the request, or −1 where a refused view left the row without a token.</summary>
    public int Request;

    /// <summary>Position of the token in its sequence.</summary>
    public int Position;
}

/// <summary>Arguments of <see cref="StepRows"/>.</summary>
internal struct StepRowsArguments
{
    /// <summary>Address of SequenceView[Items].</summary>
    public ulong Views;

    /// <summary>Address of int[Items]: the request of each view.</summary>
    public ulong Requests;

    /// <summary>Address of RowInfo[Rows], written.</summary>
    public ulong RowInfos;

    /// <summary>Address of uint[Items], written: the first row of each view.</summary>
    public ulong RowStarts;

    /// <summary>Views of the step.</summary>
    public int Items;

    /// <summary>Rows of the step's activations.</summary>
    public int Rows;
}

/// <summary>Lists the rows of a step from its views: the new tokens of item 0 in order, then those of item 1, and so on.</summary>
internal static unsafe class StepRows
{
    public const string Name = "demo.step_rows";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    private static int Items(void* arguments) => 1;

    private static void Run(void* arguments, int item, int worker)
    {
        var a = (StepRowsArguments*)arguments;
        var views = (SequenceView*)a->Views;
        var requests = (int*)a->Requests;
        var rows = (RowInfo*)a->RowInfos;
        var starts = (uint*)a->RowStarts;
        var row = 0;
        for (var i = 0; i < a->Items; i++)
        {
            starts[i] = (uint)row;
            var first = (int)(views[i].TokenCount - views[i].NewTokens);
            for (var t = 0; t < (int)views[i].NewTokens && row < a->Rows; t++)
            {
                rows[row++] = new RowInfo { Request = requests[i], Position = first + t };
            }
        }

        while (row < a->Rows)
        {
            rows[row++] = new RowInfo { Request = -1 };
        }
    }
}
