using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Kvcached.Kernels.Cpu;

/// <summary>
/// <c>verify</c>: compares every granule of every visible token of a step's sequences, the step's new ones included, with the stamp that
/// must be there, and adds to a <see cref="StampTally"/>. Streams: four loads, exclusive ors and one accumulator a granule, one test
/// a token; a token that differs is looked at again, granule by granule.
/// </summary>
public static unsafe class VerifyKernel
{
    /// <summary>The kernel, for devices whose memory the host can address. Arguments: <see cref="StampArguments"/>.</summary>
    public static CpuKernel Kernel => new(KernelNames.Verify, &Items, &Run);

    /// <summary>Whether a view says what the host expects. A refused view does not.</summary>
    internal static bool Agrees(SequenceView* view, StampedSequence* expected, KvShape* shape) =>
        view->Flags == ViewFlags.None
        && view->SequenceId == expected->SequenceId
        && view->TokenCount == expected->TokenCount
        && view->NewTokens == expected->NewTokens
        && view->BlockCount == (expected->TokenCount + shape->TokensPerBlock - 1) >> (int)shape->TokensPerBlockShift;

    private static int Items(void* arguments) => StampWalk.Items((StampArguments*)arguments, newTokensOnly: false);

    private static void Run(void* blob, int item, int worker)
    {
        var arguments = (StampArguments*)blob;
        var walk = StampWalk.Find(arguments, item, newTokensOnly: false);
        if (walk.Sequence < 0)
        {
            return;
        }

        var sequence = (StampedSequence*)arguments->Sequences + walk.Sequence;
        var view = (SequenceView*)arguments->Views + walk.Sequence;
        var tally = (StampTally*)arguments->Tally;
        if (!Agrees(view, sequence, &arguments->Shape))
        {
            CountLostView(arguments, walk, sequence, view->Flags, tally);
            return;
        }

        var entries = (uint*)arguments->Entries + view->RowStart;
        var verified = 0L;
        for (var block = Math.Max(walk.FirstBlock, view->FirstVisibleBlock); block < walk.EndBlock; block++)
        {
            var offset = (ulong)entries[block] * KvShape.GranuleBytes;
            verified += VerifyBlock(arguments, sequence, block, offset, tally);
        }

        Interlocked.Add(ref tally->VerifiedGranules, verified);
    }

    /// <summary>Compares one block. Returns the granules that were compared.</summary>
    private static long VerifyBlock(StampArguments* arguments, StampedSequence* sequence, uint block, ulong offset, StampTally* tally)
    {
        var tokensPerBlock = arguments->Shape.TokensPerBlock;
        var stride = arguments->Shape.TokenStride;
        var granules = stride / KvShape.GranuleBytes;
        var first = block * tokensPerBlock;
        var end = Math.Min(first + tokensPerBlock, sequence->TokenCount);
        if (offset > arguments->PoolBytes - arguments->Shape.BlockBytes)
        {
            CountMismatch(tally, sequence->SequenceId, first, 0, ulong.MaxValue, (end - first) * (long)granules);
            return 0;
        }

        // The first half of a block may carry version 0 and the second the version after a truncation: each is a run of one key.
        var boundary = Math.Min(Math.Max(first, sequence->ChangedFrom), end);
        var words = (ulong*)(arguments->Pool + offset);
        VerifyRun(words, stride, Stamp.Key(sequence->SequenceId, 0), first, boundary, sequence->SequenceId, offset, tally);
        VerifyRun(words + ((boundary - first) * (ulong)stride / sizeof(ulong)), stride, Stamp.Key(sequence->SequenceId, sequence->Version), boundary, end, sequence->SequenceId, offset + ((boundary - first) * (ulong)stride), tally);
        return (end - first) * (long)granules;
    }

    /// <summary>Compares the tokens from <paramref name="first"/> to <paramref name="end"/>, which lie one after another and share a key.</summary>
    private static void VerifyRun(ulong* words, uint stride, ulong key, uint first, uint end, uint sequence, ulong offset, StampTally* tally)
    {
        var salt0 = Stamp.Salt(0);
        var salt1 = Stamp.Salt(1);
        var salt2 = Stamp.Salt(2);
        var salt3 = Stamp.Salt(3);
        var granules = stride / KvShape.GranuleBytes;
        for (var position = first; position < end; position++)
        {
            var token = Stamp.Token(key, position);
            var difference = Vector512<ulong>.Zero;
            for (var granule = 0u; granule < granules; granule++)
            {
                var stamp = Vector512.Create(Stamp.Granule(token, granule));
                difference |= Vector512.Load(words) ^ stamp ^ salt0;
                difference |= Vector512.Load(words + 8) ^ stamp ^ salt1;
                difference |= Vector512.Load(words + 16) ^ stamp ^ salt2;
                difference |= Vector512.Load(words + 24) ^ stamp ^ salt3;
                words += Stamp.WordsPerGranule;
            }

            if (difference != Vector512<ulong>.Zero)
            {
                CountToken(words - (granules * Stamp.WordsPerGranule), token, granules, sequence, position, offset + ((position - first) * (ulong)stride), tally);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CountToken(ulong* words, ulong token, uint granules, uint sequence, uint position, ulong offset, StampTally* tally)
    {
        for (var granule = 0u; granule < granules; granule++)
        {
            var stamp = Stamp.Granule(token, granule);
            for (var i = 0; i < Stamp.WordsPerGranule; i++)
            {
                if (words[(granule * Stamp.WordsPerGranule) + i] != Stamp.Word(stamp, i))
                {
                    CountMismatch(tally, sequence, position, granule, offset + (granule * (ulong)KvShape.GranuleBytes), 1);
                    break;
                }
            }
        }
    }

    /// <summary>A refused view is told to the host; any other view than the one expected is a mismatch of all that it should have led to.</summary>
    private static void CountLostView(StampArguments* arguments, in StampWalk walk, StampedSequence* sequence, uint flags, StampTally* tally)
    {
        if ((flags & ViewFlags.Refused) != 0)
        {
            sequence->Refused = 1;
            return;
        }

        var first = walk.FirstBlock * arguments->Shape.TokensPerBlock;
        var end = Math.Min(walk.EndBlock * arguments->Shape.TokensPerBlock, sequence->TokenCount);
        CountMismatch(tally, sequence->SequenceId, first, 0, ulong.MaxValue, (end - first) * (long)(arguments->Shape.TokenStride / KvShape.GranuleBytes));
    }

    private static void CountMismatch(StampTally* tally, uint sequence, uint position, uint granule, ulong offset, long granules)
    {
        Interlocked.Add(ref tally->MismatchedGranules, granules);
        if (Interlocked.CompareExchange(ref tally->FirstClaimed, 1, 0) == 0)
        {
            tally->FirstSequence = sequence;
            tally->FirstPosition = position;
            tally->FirstGranule = granule;
            tally->FirstPoolOffset = offset;
        }
    }
}
