using System.Runtime.Intrinsics;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// <c>stamp</c>: writes the stamps of the tokens that a step appends, through the views and entries that it finds at execution time.
/// A view that says something else than the host expects is left alone; the verify kernel counts it.
/// </summary>
public static unsafe class StampKernel
{
    /// <summary>The kernel, for devices whose memory the host can address. Arguments: <see cref="StampArguments"/>.</summary>
    public static CpuKernel Kernel => new(KernelNames.Stamp, &Items, &Run);

    private static int Items(void* arguments) => StampWalk.Items((StampArguments*)arguments, newTokensOnly: true);

    private static void Run(void* blob, int item, int worker)
    {
        var arguments = (StampArguments*)blob;
        var walk = StampWalk.Find(arguments, item, newTokensOnly: true);
        if (walk.Sequence < 0)
        {
            return;
        }

        var sequence = (StampedSequence*)arguments->Sequences + walk.Sequence;
        var view = (SequenceView*)arguments->Views + walk.Sequence;
        if (!VerifyKernel.Agrees(view, sequence, &arguments->Shape))
        {
            return;
        }

        var entries = (uint*)arguments->Entries + view->RowStart;
        var tokensPerBlock = arguments->Shape.TokensPerBlock;
        var oldKey = Stamp.Key(sequence->SequenceId, 0);
        var newKey = Stamp.Key(sequence->SequenceId, sequence->Version);
        for (var block = walk.FirstBlock; block < walk.EndBlock; block++)
        {
            var offset = (ulong)entries[block] * KvShape.GranuleBytes;
            if (offset > arguments->PoolBytes - arguments->Shape.BlockBytes)
            {
                continue;
            }

            var first = Math.Max(block * tokensPerBlock, sequence->TokenCount - sequence->NewTokens);
            var end = Math.Min((block + 1) * tokensPerBlock, sequence->TokenCount);
            for (var position = first; position < end; position++)
            {
                var key = position < sequence->ChangedFrom ? oldKey : newKey;
                var token = arguments->Pool + offset + (((ulong)position & (tokensPerBlock - 1)) * arguments->Shape.TokenStride);
                WriteToken((ulong*)token, Stamp.Token(key, position), arguments->Shape.TokenStride / KvShape.GranuleBytes);
            }
        }
    }

    private static void WriteToken(ulong* words, ulong token, uint granules)
    {
        for (var granule = 0u; granule < granules; granule++)
        {
            var stamp = Vector512.Create(Stamp.Granule(token, granule));
            (stamp ^ Stamp.Salt(0)).Store(words);
            (stamp ^ Stamp.Salt(1)).Store(words + 8);
            (stamp ^ Stamp.Salt(2)).Store(words + 16);
            (stamp ^ Stamp.Salt(3)).Store(words + 24);
            words += Stamp.WordsPerGranule;
        }
    }
}
