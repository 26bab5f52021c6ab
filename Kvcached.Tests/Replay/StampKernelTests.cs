using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Xunit;

namespace Kvcached.Tests.Replay;

public sealed unsafe class StampKernelTests : IDisposable
{
    private const int TokensPerBlock = 4;
    private const int TokenBytes = 512;
    private const int BlockBytes = TokensPerBlock * TokenBytes;
    private const int GranulesPerToken = TokenBytes / KvShape.GranuleBytes;
    private const int Blocks = 8;

    private readonly byte* _pool = (byte*)NativeMemory.AlignedAlloc(Blocks * BlockBytes, 4096);
    private readonly uint* _entries = (uint*)NativeMemory.AllocZeroed(64, sizeof(uint));
    private readonly SequenceView* _views = (SequenceView*)NativeMemory.AllocZeroed(4, SequenceView.Bytes);
    private readonly StampedSequence* _sequences = (StampedSequence*)NativeMemory.AllocZeroed(4, StampedSequence.Bytes);
    private readonly StampTally* _tally = (StampTally*)NativeMemory.AllocZeroed(1, StampTally.Bytes);
    private StampArguments _arguments;

    public StampKernelTests()
    {
        new Span<byte>(_pool, Blocks * BlockBytes).Fill(0xAA);
        _arguments = new StampArguments
        {
            Pool = (ulong)_pool,
            PoolBytes = Blocks * BlockBytes,
            Entries = (ulong)_entries,
            Views = (ulong)_views,
            Sequences = (ulong)_sequences,
            Tally = (ulong)_tally,
            Shape = new KvLayout { Planes = 1, Layers = 1, Heads = 2, HeadDim = 256, ElementType = KvElementType.Byte, TokensPerBlock = TokensPerBlock }.ToShape(),
            Count = 1,
        };
        // Blocks in no order: only the entries say where they lie.
        Span<uint> order = [5, 2, 7, 0];
        for (var i = 0; i < order.Length; i++)
        {
            _entries[32 + i] = order[i] * (BlockBytes / KvShape.GranuleBytes);
        }

        Expect(tokens: 11, newTokens: 11);
    }

    [Fact]
    public void A_stamped_sequence_verifies_granule_for_granule()
    {
        Launch(StampKernel.Kernel);
        Launch(VerifyKernel.Kernel);
        Assert.Equal(11 * GranulesPerToken, _tally->VerifiedGranules);
        Assert.Equal(0, _tally->MismatchedGranules);
    }

    [Fact]
    public void Every_single_flipped_bit_of_a_granule_is_counted_and_placed()
    {
        Launch(StampKernel.Kernel);
        // Granule 1 of position 6: token 2 of block 1, which lies in place 2.
        var granule = _pool + (2 * BlockBytes) + (2 * TokenBytes) + KvShape.GranuleBytes;
        for (var bit = 0; bit < KvShape.GranuleBytes * 8; bit++)
        {
            *_tally = default;
            granule[bit / 8] ^= (byte)(1 << (bit % 8));
            Launch(VerifyKernel.Kernel);
            granule[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal(1, _tally->MismatchedGranules);
            Assert.Equal(11 * GranulesPerToken, _tally->VerifiedGranules);
            Assert.Equal((6u, 1u, (ulong)(granule - _pool)), (_tally->FirstPosition, _tally->FirstGranule, _tally->FirstPoolOffset));
        }
    }

    [Fact]
    public void Content_of_another_sequence_is_no_match()
    {
        Launch(StampKernel.Kernel);
        _views->SequenceId++;
        _sequences->SequenceId++;
        Launch(VerifyKernel.Kernel);
        Assert.Equal(11 * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void Content_of_another_position_is_no_match()
    {
        Launch(StampKernel.Kernel);
        (_entries[32], _entries[33]) = (_entries[33], _entries[32]);
        Launch(VerifyKernel.Kernel);
        Assert.Equal(2 * TokensPerBlock * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void Content_of_an_earlier_version_is_no_match_from_where_it_changed()
    {
        Launch(StampKernel.Kernel);
        _sequences->ChangedFrom = 6;
        _sequences->Version = 1;
        Launch(VerifyKernel.Kernel);
        Assert.Equal((11 - 6) * GranulesPerToken, _tally->MismatchedGranules);
        Assert.Equal(6u, _tally->FirstPosition);
    }

    [Fact]
    public void A_sequence_regrown_after_a_truncation_verifies()
    {
        Launch(StampKernel.Kernel);
        Expect(tokens: 12, newTokens: 6);
        _sequences->ChangedFrom = 6;
        _sequences->Version = 1;
        Launch(StampKernel.Kernel);
        Launch(VerifyKernel.Kernel);
        Assert.Equal(0, _tally->MismatchedGranules);
        Assert.Equal(12 * GranulesPerToken, _tally->VerifiedGranules);
    }

    [Fact]
    public void Only_the_new_tokens_are_written()
    {
        Expect(tokens: 7, newTokens: 2);
        Launch(StampKernel.Kernel);
        Launch(VerifyKernel.Kernel);
        Assert.Equal(5 * GranulesPerToken, _tally->MismatchedGranules);
        Assert.Equal(0xAA, _pool[(2 * BlockBytes) + (3 * TokenBytes)]);
    }

    [Fact]
    public void A_view_that_says_something_else_than_expected_counts_all_its_granules_as_mismatched()
    {
        Launch(StampKernel.Kernel);
        _views->TokenCount = 10;
        Launch(VerifyKernel.Kernel);
        Assert.Equal(0, _tally->VerifiedGranules);
        Assert.Equal(11 * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void A_refused_view_is_told_to_the_host_verifies_nothing_and_writes_nothing()
    {
        *_views = new SequenceView { Flags = ViewFlags.Refused, SequenceId = _views->SequenceId };
        Launch(StampKernel.Kernel);
        Launch(VerifyKernel.Kernel);
        Assert.Equal((0L, 0L), (_tally->VerifiedGranules, _tally->MismatchedGranules));
        Assert.Equal(1u, _sequences->Refused);
        Assert.False(new Span<byte>(_pool, Blocks * BlockBytes).ContainsAnyExcept((byte)0xAA));
    }

    [Fact]
    public void An_entry_that_leads_past_the_pool_is_a_mismatch_and_not_a_crash()
    {
        Launch(StampKernel.Kernel);
        _entries[33] = uint.MaxValue;
        Launch(StampKernel.Kernel);
        Launch(VerifyKernel.Kernel);
        Assert.Equal(TokensPerBlock * GranulesPerToken, _tally->MismatchedGranules);
        Assert.Equal(ulong.MaxValue, _tally->FirstPoolOffset);
    }

    [Fact]
    public void A_long_sequence_is_split_into_items_that_cover_it_once()
    {
        const int longBlocks = 200;
        var entries = (uint*)NativeMemory.AllocZeroed(longBlocks, sizeof(uint));
        var pool = (byte*)NativeMemory.AlignedAlloc(longBlocks * BlockBytes, 4096);
        try
        {
            for (var i = 0; i < longBlocks; i++)
            {
                entries[i] = (uint)(longBlocks - 1 - i) * (BlockBytes / KvShape.GranuleBytes);
            }

            _arguments.Entries = (ulong)entries;
            _arguments.Pool = (ulong)pool;
            _arguments.PoolBytes = longBlocks * BlockBytes;
            Expect(tokens: longBlocks * TokensPerBlock, newTokens: longBlocks * TokensPerBlock);
            _views->RowStart = 0;
            Launch(StampKernel.Kernel);
            Assert.Equal(4, Launch(VerifyKernel.Kernel));
            Assert.Equal(longBlocks * TokensPerBlock * GranulesPerToken, _tally->VerifiedGranules);
            Assert.Equal(0, _tally->MismatchedGranules);
        }
        finally
        {
            NativeMemory.Free(entries);
            NativeMemory.AlignedFree(pool);
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_pool);
        NativeMemory.Free(_entries);
        NativeMemory.Free(_views);
        NativeMemory.Free(_sequences);
        NativeMemory.Free(_tally);
    }

    private void Expect(uint tokens, uint newTokens)
    {
        *_sequences = new StampedSequence { SequenceId = 77, TokenCount = tokens, NewTokens = newTokens, ChangedFrom = uint.MaxValue };
        *_views = new SequenceView
        {
            RowStart = 32,
            BlockCount = (tokens + TokensPerBlock - 1) / TokensPerBlock,
            TokenCount = tokens,
            NewTokens = newTokens,
            SequenceId = 77,
        };
    }

    private int Launch(CpuKernel kernel)
    {
        fixed (StampArguments* arguments = &_arguments)
        {
            var items = kernel.Items(arguments);
            for (var item = 0; item < items; item++)
            {
                kernel.Run(arguments, item, 0);
            }

            return items;
        }
    }
}
