using Kvcached.Kernels;

namespace Kvcached.Tests.Paged;

/// <summary>Arguments of <see cref="OutsideKernels{TForm}"/>.</summary>
internal unsafe struct OutsideArguments<TForm>
    where TForm : unmanaged, IPageForm
{
    public TForm Pages;
    public PagedTensor Keys;
    public PagedTensor Values;
    public int PageTokens;
    public int Batch;
    public int QueryHeads;
    public int KvHeads;
    public int HeadDim;

    /// <summary>Attention: tokens that a position sees before itself; −1 for all.</summary>
    public int WindowLeft;
    public double Scale;

    /// <summary>Attention: [batch][query heads][dim] of each sequence's last position.</summary>
    public float* Queries;
    public float* Outputs;

    /// <summary>Append: tokens of each sequence, and [tokens of all][KV heads][dim].</summary>
    public int* NewTokens;
    public float* NewKeys;
    public float* NewValues;
}

/// <summary>
/// Kernels as others write them, against a standard form of page table and strided tensors, in float64: attention of each sequence's last position, and
/// the append of new tokens to pages that the table lists already. They know of nothing else.
/// </summary>
internal static unsafe class OutsideKernels<TForm>
    where TForm : unmanaged, IPageForm
{
    public static CpuKernel Attention => new($"outside attention, {TForm.Name}", &AttentionItems, &Attend);

    public static CpuKernel Append => new($"outside append, {TForm.Name}", &AppendItems, &AppendSequence);

    private static int AttentionItems(void* arguments) => ((OutsideArguments<TForm>*)arguments)->Batch * ((OutsideArguments<TForm>*)arguments)->QueryHeads;

    private static int AppendItems(void* arguments) => ((OutsideArguments<TForm>*)arguments)->Batch;

    private static void Attend(void* arguments, int item, int worker)
    {
        var a = (OutsideArguments<TForm>*)arguments;
        var (sequence, queryHead) = (item / a->QueryHeads, item % a->QueryHeads);
        var head = queryHead / (a->QueryHeads / a->KvHeads);
        var query = a->Queries + (item * (long)a->HeadDim);
        var tokens = a->Pages.Tokens(sequence, a->PageTokens);
        if (tokens == 0)
        {
            return;
        }

        var first = a->WindowLeft < 0 ? 0 : int.Max(0, tokens - 1 - a->WindowLeft);
        var scores = new double[tokens];
        for (var token = first; token < tokens; token++)
        {
            var page = a->Pages.Page(sequence, token / a->PageTokens);
            for (var i = 0; i < a->HeadDim; i++)
            {
                scores[token] += query[i] * (double)a->Keys.Read(page, token % a->PageTokens, head, i);
            }

            scores[token] *= a->Scale;
        }

        var visible = scores.AsSpan(first);
        var max = double.NegativeInfinity;
        foreach (var score in visible)
        {
            max = double.Max(max, score);
        }

        var sum = 0.0;
        foreach (ref var score in visible)
        {
            score = Math.Exp(score - max);
            sum += score;
        }

        for (var i = 0; i < a->HeadDim; i++)
        {
            var output = 0.0;
            for (var token = first; token < tokens; token++)
            {
                output += scores[token] * a->Values.Read(a->Pages.Page(sequence, token / a->PageTokens), token % a->PageTokens, head, i);
            }

            a->Outputs[(item * (long)a->HeadDim) + i] = (float)(output / sum);
        }
    }

    private static void AppendSequence(void* arguments, int sequence, int worker)
    {
        var a = (OutsideArguments<TForm>*)arguments;
        var row = 0L;
        for (var i = 0; i < sequence; i++)
        {
            row += a->NewTokens[i];
        }

        var tokens = a->Pages.Tokens(sequence, a->PageTokens);
        for (var token = tokens - a->NewTokens[sequence]; token < tokens; token++, row++)
        {
            var page = a->Pages.Page(sequence, token / a->PageTokens);
            for (var i = 0; i < a->KvHeads * a->HeadDim; i++)
            {
                var source = (row * a->KvHeads * a->HeadDim) + i;
                a->Keys.Write(page, token % a->PageTokens, i / a->HeadDim, i % a->HeadDim, a->NewKeys[source]);
                a->Values.Write(page, token % a->PageTokens, i / a->HeadDim, i % a->HeadDim, a->NewValues[source]);
            }
        }
    }
}
