using Kvcached.Memory;
using Xunit;

namespace Kvcached.Tests.Memory;

/// <summary>Addresses and uses of blocks, each 32 bits, tell apart all that an arena may hold.</summary>
public class BlockAddressTests
{
    [Fact]
    public void An_address_tells_segment_and_block_up_to_the_largest_arena()
    {
        int[] segments = [0, 1, 8191, 8192, BlockAddress.MaxUnits - 1];
        int[] blocks = [0, 1, 31, BlockAddress.MaxBlocks - 1];
        var all = segments.SelectMany(segment => blocks.Select(block => (segment, block))).ToArray();
        Assert.Equal(all, all.Select(at => new BlockAddress(at.segment, at.block)).Select(address => (address.Segment, address.Block)));
        Assert.DoesNotContain(all, at => new BlockAddress(at.segment, at.block).IsNone);
        Assert.True(default(BlockAddress).IsNone);
    }

    [Fact]
    public void The_largest_pool_has_addresses_and_a_larger_one_is_refused()
    {
        Assert.Equal(KvCacheOptions.MaxPoolBytes, BlockAddress.MaxUnits * KvCacheOptions.UnitBytes);
        Assert.Throws<ArgumentOutOfRangeException>(() => new BlockPool((BlockAddress.MaxUnits + 1L) * 4096, 4096, new TimelineTable()));
    }

    [Fact]
    public void A_segment_of_the_smallest_blocks_is_used_up_to_the_last_block_that_has_an_address()
    {
        var pool = new BlockPool(KvCacheOptions.UnitBytes, KvCacheOptions.UnitBytes, new TimelineTable());
        var layout = pool.AddLayout(256);
        var offsets = new HashSet<long>();
        while (pool.TryAllocate(layout, Point.BackgroundLane, out var address, out _))
        {
            Assert.True(offsets.Add(pool.OffsetOf(address)));
        }

        Assert.Equal((BlockAddress.MaxBlocks, 0L, (BlockAddress.MaxBlocks - 1) * 256L), (offsets.Count, offsets.Min(), offsets.Max()));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData((1 << 30) - 2)]
    public void A_use_is_one_thing_only_and_keeps_its_number(int number)
    {
        Assert.Equal((true, false, false, number), Seen(BlockUse.HeldBy(number), use => use.Holder));
        Assert.Equal((false, true, false, number), Seen(BlockUse.Pending(number), use => use.Node));
        Assert.Equal((false, false, false, 0), Seen(BlockUse.Free, _ => 0));
        Assert.Equal((false, false, true, 0), Seen(BlockUse.Reserved, _ => 0));

        static (bool IsHeld, bool IsPending, bool IsReserved, int Number) Seen(BlockUse use, Func<BlockUse, int> number) => (use.IsHeld, use.IsPending, use.IsReserved, number(use));
    }
}
