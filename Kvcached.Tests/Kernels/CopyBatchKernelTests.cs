using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The kernel behind small copies, and what may be copied at the same time.</summary>
public class CopyBatchKernelTests
{
    [OpenClFact]
    public void Ranges_are_copied_and_nothing_else() => Check(GpuLaunch.CpuLanes);

    [OpenClFact]
    public void Ranges_are_copied_where_a_work_item_is_one_lane() => Check(1);

    [Fact]
    public void Ranges_of_which_one_writes_what_the_other_reads_or_writes_conflict()
    {
        var batch = default(CopyBatchArguments);
        Assert.False(batch.Conflicts(Range(0, 100, 50)));
        Assert.True(batch.TryAdd(Range(1000, 2000, 100)));
        Assert.True(batch.TryAdd(Range(5000, 6000, 100)));

        // It reads what is read, and lies beside what is written.
        Assert.False(batch.Conflicts(Range(1000, 1900, 100)));
        Assert.False(batch.Conflicts(Range(1000, 2100, 100)));
        Assert.True(batch.Conflicts(Range(9000, 1901, 100)));
        Assert.True(batch.Conflicts(Range(9000, 6099, 100)));
        Assert.True(batch.Conflicts(Range(9000, 5050, 1)));
        Assert.True(batch.Conflicts(Range(2099, 9000, 100)));
        Assert.True(batch.Conflicts(Range(5950, 9000, 51)));
        Assert.False(batch.Conflicts(Range(5950, 9000, 50)));
    }

    [Fact]
    public void A_batch_that_is_full_takes_no_more()
    {
        var batch = default(CopyBatchArguments);
        for (var i = 0u; i < CopyBatchArguments.MaxRanges; i++)
        {
            Assert.True(batch.TryAdd(Range(i, 1000 + i, 1)));
        }

        Assert.False(batch.TryAdd(Range(100, 2000, 1)));
        Assert.Equal((31ul, 1031ul, 1ul), (batch[31].Source, batch[31].Target, batch[31].Bytes));
    }

    private static CopyArguments Range(ulong source, ulong target, ulong bytes) => new() { Source = source, Target = target, Bytes = bytes };

    private static void Check(uint lanes)
    {
        const int Bytes = 200_000;
        using var machine = new OpenClMachine(lanes);
        using var source = machine.Array<byte>(Bytes);
        using var target = machine.Array<byte>(Bytes);
        var random = new Random(1);
        random.NextBytes(source.Span);
        var expected = target.Span.ToArray();
        var batch = new CopyBatchArguments { Source = source.Address, Target = target.Address };
        for (var i = 0; i < CopyBatchArguments.MaxRanges; i++)
        {
            // Of all sizes and alignments, 6,000 bytes apart in the target.
            var (from, to, bytes) = (random.Next(Bytes - 6000), (6000 * i) + random.Next(32), i == 0 ? 0 : 1 << (i % 13));
            Assert.True(batch.TryAdd(Range(source.Address + (ulong)from, target.Address + (ulong)to, (ulong)bytes)));
            source.Span.Slice(from, bytes).CopyTo(expected.AsSpan(to));
        }

        machine.Run(KernelNames.CopyBatch, batch);
        Assert.Equal(expected, target.Span.ToArray());
    }
}
