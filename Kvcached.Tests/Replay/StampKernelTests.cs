using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Kvcached.Tests.Devices;
using Kvcached.Tests.Kernels;
using Xunit;

namespace Kvcached.Tests.Replay;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuStampKernels() : StampKernels(new CpuMachine())
{
    [Fact]
    public unsafe void A_long_sequence_is_split_into_items()
    {
        using var views = new NativeArray<SequenceView>([new SequenceView { BlockCount = 200, TokenCount = 800 }]);
        using var sequences = new NativeArray<StampedSequence>([new StampedSequence { TokenCount = 800 }]);
        var arguments = new StampArguments { Views = views.Address, Sequences = sequences.Address, Shape = Shape, Count = 1 };
        Assert.Equal(4, VerifyKernel.Kernel.Items(&arguments));
    }
}

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClStampKernels() : StampKernels(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClStampKernels() : StampKernels(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Stamping tokens and verifying stamps.</summary>
public abstract unsafe class StampKernels : IDisposable
{
    private protected static readonly KvShape Shape =
        new KvLayout { Planes = 1, Layers = 1, Heads = 2, HeadDim = 256, ElementType = KvElementType.Byte, TokensPerBlock = TokensPerBlock }.ToShape();

    private const int TokensPerBlock = 4;
    private const int TokenBytes = 512;
    private const int BlockBytes = TokensPerBlock * TokenBytes;
    private const int GranulesPerToken = TokenBytes / KvShape.GranuleBytes;
    private const int Blocks = 8;

    private readonly KernelMachine _machine;
    private readonly List<IDisposable> _arrays = [];
    private readonly byte* _pool;
    private readonly uint* _entries;
    private readonly SequenceView* _views;
    private readonly StampedSequence* _sequences;
    private readonly StampTally* _tally;
    private StampArguments _arguments;

    private protected StampKernels(KernelMachine machine)
    {
        _machine = machine;
        _pool = Array<byte>(Blocks * BlockBytes, out var pool);
        _entries = Array<uint>(64, out var entries);
        _views = Array<SequenceView>(4, out var views);
        _sequences = Array<StampedSequence>(4, out var sequences);
        _tally = Array<StampTally>(1, out var tally);
        new Span<byte>(_pool, Blocks * BlockBytes).Fill(0xAA);
        _arguments = new StampArguments
        {
            Pool = pool,
            PoolBytes = Blocks * BlockBytes,
            Entries = entries,
            Views = views,
            Sequences = sequences,
            Tally = tally,
            Shape = Shape,
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
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal(11 * GranulesPerToken, _tally->VerifiedGranules);
        Assert.Equal(0, _tally->MismatchedGranules);
    }

    [Fact]
    public void Every_single_flipped_bit_of_a_granule_is_counted_and_placed()
    {
        Launch(KernelNames.Stamp);
        // Granule 1 of position 6: token 2 of block 1, which lies in place 2.
        var granule = _pool + (2 * BlockBytes) + (2 * TokenBytes) + KvShape.GranuleBytes;
        for (var bit = 0; bit < KvShape.GranuleBytes * 8; bit++)
        {
            *_tally = default;
            granule[bit / 8] ^= (byte)(1 << (bit % 8));
            Launch(KernelNames.Verify);
            granule[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal(1, _tally->MismatchedGranules);
            Assert.Equal(11 * GranulesPerToken, _tally->VerifiedGranules);
            Assert.Equal((6u, 1u, (ulong)(granule - _pool)), (_tally->FirstPosition, _tally->FirstGranule, _tally->FirstPoolOffset));
        }
    }

    [Fact]
    public void Content_of_another_sequence_is_no_match()
    {
        Launch(KernelNames.Stamp);
        _views->SequenceId++;
        _sequences->SequenceId++;
        Launch(KernelNames.Verify);
        Assert.Equal(11 * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void Content_of_another_position_is_no_match()
    {
        Launch(KernelNames.Stamp);
        (_entries[32], _entries[33]) = (_entries[33], _entries[32]);
        Launch(KernelNames.Verify);
        Assert.Equal(2 * TokensPerBlock * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void Content_of_an_earlier_version_is_no_match_from_where_it_changed()
    {
        Launch(KernelNames.Stamp);
        _sequences->ChangedFrom = 6;
        _sequences->Version = 1;
        Launch(KernelNames.Verify);
        Assert.Equal((11 - 6) * GranulesPerToken, _tally->MismatchedGranules);

        // The first that was found: groups run in any order.
        Assert.InRange(_tally->FirstPosition, 6u, 10u);
    }

    [Fact]
    public void A_sequence_regrown_after_a_truncation_verifies()
    {
        Launch(KernelNames.Stamp);
        Expect(tokens: 12, newTokens: 6);
        _sequences->ChangedFrom = 6;
        _sequences->Version = 1;
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal(0, _tally->MismatchedGranules);
        Assert.Equal(12 * GranulesPerToken, _tally->VerifiedGranules);
    }

    [Fact]
    public void Only_the_new_tokens_are_written()
    {
        Expect(tokens: 7, newTokens: 2);
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal(5 * GranulesPerToken, _tally->MismatchedGranules);
        Assert.Equal(0xAA, _pool[(2 * BlockBytes) + (3 * TokenBytes)]);
    }

    [Fact]
    public void A_view_that_says_something_else_than_expected_counts_all_its_granules_as_mismatched()
    {
        Launch(KernelNames.Stamp);
        _views->TokenCount = 10;
        Launch(KernelNames.Verify);
        Assert.Equal(0, _tally->VerifiedGranules);
        Assert.Equal(11 * GranulesPerToken, _tally->MismatchedGranules);
    }

    [Fact]
    public void A_refused_view_is_told_to_the_host_verifies_nothing_and_writes_nothing()
    {
        *_views = new SequenceView { Flags = ViewFlags.Refused, SequenceId = _views->SequenceId };
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal((0L, 0L), (_tally->VerifiedGranules, _tally->MismatchedGranules));
        Assert.Equal(1u, _sequences->Refused);
        Assert.False(new Span<byte>(_pool, Blocks * BlockBytes).ContainsAnyExcept((byte)0xAA));
    }

    [Fact]
    public void An_entry_that_leads_past_the_pool_is_a_mismatch_and_not_a_crash()
    {
        Launch(KernelNames.Stamp);
        _entries[33] = uint.MaxValue;
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal(TokensPerBlock * GranulesPerToken, _tally->MismatchedGranules);
        Assert.Equal(ulong.MaxValue, _tally->FirstPoolOffset);
    }

    [Fact]
    public void The_items_of_a_long_sequence_cover_it_once()
    {
        const int longBlocks = 200;
        var entries = Array<uint>(longBlocks, out _arguments.Entries);
        Array<byte>(longBlocks * BlockBytes, out _arguments.Pool);
        for (var i = 0; i < longBlocks; i++)
        {
            entries[i] = (uint)(longBlocks - 1 - i) * (BlockBytes / KvShape.GranuleBytes);
        }

        _arguments.PoolBytes = longBlocks * BlockBytes;
        Expect(tokens: longBlocks * TokensPerBlock, newTokens: longBlocks * TokensPerBlock);
        _views->RowStart = 0;
        Launch(KernelNames.Stamp);
        Launch(KernelNames.Verify);
        Assert.Equal(longBlocks * TokensPerBlock * GranulesPerToken, _tally->VerifiedGranules);
        Assert.Equal(0, _tally->MismatchedGranules);
    }

    public void Dispose()
    {
        _arrays.ForEach(array => array.Dispose());
        _machine.Dispose();
        GC.SuppressFinalize(this);
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

    private void Launch(string kernel) => _machine.Run(kernel, _arguments);

    /// <summary>Memory of the machine's, as the host sees it.</summary>
    private T* Array<T>(int length, out ulong address)
        where T : unmanaged
    {
        var array = _machine.Array<T>(length);
        _arrays.Add(array);
        address = array.Address;
        return array.Pointer;
    }
}
