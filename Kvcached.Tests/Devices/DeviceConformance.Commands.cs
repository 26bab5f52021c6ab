using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What commands do: copies, fills, table updates and kernel launches.</summary>
public abstract partial class DeviceConformance
{
    [Theory]
    [InlineData(MemoryKind.Device)]
    [InlineData(MemoryKind.Host)]
    public void Memory_is_zeroed_and_aligned_to_a_page(MemoryKind kind)
    {
        var memory = Device.Allocate(3 * 4096 + 4, kind, "fresh");
        var point = At(Timeline(), 1);
        Queue().Submit([], Commands(), point);

        Assert.Equal(0ul, memory.Address % 4096);
        Assert.NotEqual(0ul, memory.Address);
        Assert.All(Read(memory, point), word => Assert.Equal(0u, word));
    }

    [Fact]
    public void Memory_is_zeroed_where_freed_memory_lay()
    {
        var old = Filled([.. Enumerable.Repeat(0xffffffffu, 1024)]);
        old.Dispose();
        Memory_is_zeroed_and_aligned_to_a_page(MemoryKind.Device);
    }

    [Fact]
    public void What_is_discarded_comes_back_zeroed_and_the_rest_stays()
    {
        var memory = Filled([.. Enumerable.Repeat(7u, 3 * 1024)]);
        memory.Discard(4096, 4096);
        memory.Populate(4096, 4096);
        var point = At(Timeline(), 1);
        Queue().Submit([], Commands(c => c.Fill(memory, 4096, 4, 1)), point);
        Assert.Equal([.. Enumerable.Repeat(7u, 1024), 0x01010101, .. Enumerable.Repeat(0u, 1023), .. Enumerable.Repeat(7u, 1024)], Read(memory, point));
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Discard(4095, 4096));
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Populate(4096, 3 * 4096));
    }

    [Fact]
    public void Elastic_memory_is_zero_wherever_it_has_come_and_keeps_the_rest()
    {
        const int Extent = 2 << 20;
        const int ExtentWords = Extent / sizeof(uint);
        const int Part = 64 << 10;
        var memory = Device.AllocateElastic(4 * Extent, Extent, "elastic");
        var queue = Queue();
        var point = At(Timeline(), 1);
        Populate(memory, Extent, Extent);
        queue.Submit([], Commands(c => c.Fill(memory, 0, 2 * Extent, 0xff)), point);
        AssertReached(point);

        // All of an extent, and a part of one.
        memory.Discard(Extent, Extent);
        memory.Discard(Extent - Part, Part);
        Populate(memory, Extent - Part, (2 * Extent) + Part);

        var read = HostWords(3 * ExtentWords);
        point = At(point.Timeline, 2);
        queue.Submit([], Commands(c => c.Copy(read, 0, memory, 0, 3 * Extent)), point);
        AssertReached(point);
        var kept = ExtentWords - (Part / sizeof(uint));
        Assert.Equal((-1, -1), (Words(read)[..kept].IndexOfAnyExcept(uint.MaxValue), Words(read)[kept..].IndexOfAnyExcept(0u)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.AllocateElastic(Extent, Extent + 4096, "too much"));
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.AllocateElastic(Extent, 1, "no page"));
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.AllocateElastic(Extent + 1, Extent, "no whole pages"));
    }

    private void Populate(DeviceMemory memory, long offset, long bytes)
    {
        if (memory.Populate(offset, bytes) is > 0 and var arrival)
        {
            AssertReached(At(memory.Arrivals!, arrival));
            Assert.False(memory.IsRefused(arrival));
        }
    }

    [Fact]
    public void Memories_do_not_overlap()
    {
        var memories = Enumerable.Range(1, 20).Select(i => Device.Allocate(i * 1000, MemoryKind.Device, $"memory {i}")).OrderBy(m => m.Address).ToArray();
        foreach (var (low, high) in memories.Zip(memories.Skip(1)))
        {
            Assert.True(low.Address + (ulong)low.Bytes <= high.Address);
        }
    }

    [Fact]
    public void Host_memory_makes_the_round_trip_through_the_device()
    {
        var words = Enumerable.Range(0, 5000).Select(i => (uint)(i * 2654435761)).ToArray();
        var point = At(Timeline(), 1);
        var memory = Filled(words);
        Queue().Submit([], Commands(), point);
        Assert.Equal(words, Read(memory, point));
    }

    [Fact]
    public void A_copy_moves_the_bytes_that_it_names_and_no_others()
    {
        var source = Filled(0x03020100, 0x07060504, 0x0b0a0908);
        var target = Filled(0xffffffff, 0xffffffff, 0xffffffff);
        var point = At(Timeline(), 1);
        Queue().Submit([], Commands(c => c.Copy(target, 3, source, 1, 6)), point);
        Assert.Equal([0x01ffffff, 0x05040302, 0xffffff06], Read(target, point));
    }

    [Fact]
    public void A_fill_writes_the_bytes_that_it_names_and_no_others()
    {
        var target = Filled(0, 0, 0);
        var point = At(Timeline(), 1);
        Queue().Submit([], Commands(c => c.Fill(target, 3, 6, 0xab)), point);
        Assert.Equal([0xab000000, 0xabababab, 0x000000ab], Read(target, point));
    }

    [Fact]
    public void A_table_update_writes_the_entries_that_it_names_in_order()
    {
        var table = Filled(1, 2, 3, 4, 5);
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                c.UpdateTable(table, 3, 30);
                c.UpdateTable(table, 0, uint.MaxValue);
                c.UpdateTable(table, 3, 31);
            }),
            point);
        Assert.Equal([uint.MaxValue, 2, 3, 31, 5], Read(table, point));
    }

    [Fact]
    public void Table_updates_may_be_many_and_for_several_tables()
    {
        const int Entries = 20_000;
        var tables = new[] { DeviceWords(Entries), DeviceWords(Entries) };
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                foreach (var table in tables)
                {
                    for (var i = 0u; i < Entries; i++)
                    {
                        c.UpdateTable(table, i, i + (uint)table.Address);
                    }
                }
            }),
            point);
        foreach (var table in tables)
        {
            Assert.Equal(Enumerable.Range(0, Entries).Select(i => (uint)i + (uint)table.Address), Read(table, point));
        }
    }

    // Around what a group of the update kernel takes at once, 256, and what one launch of it may get.
    [Theory]
    [InlineData(1, 5)]
    [InlineData(255, 5)]
    [InlineData(256, 100)]
    [InlineData(257, 5)]
    [InlineData(300, 1000)]
    [InlineData(8193, 300)]
    [InlineData(20_000, 40_000)]
    public void Of_table_updates_of_one_entry_the_last_stays(int updates, int entries)
    {
        var random = new Random(updates);
        var table = Filled([.. Enumerable.Range(0, entries).Select(i => (uint)i)]);
        var expected = Enumerable.Range(0, entries).Select(i => (uint)i).ToArray();
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                for (var i = 0u; i < updates; i++)
                {
                    var index = (uint)random.Next(entries);
                    c.UpdateTable(table, index, expected[index] = 1_000_000 + i);
                }
            }),
            point);
        Assert.Equal(expected, Read(table, point));
    }

    [Fact]
    public void Commands_of_a_submission_run_in_order()
    {
        var add = Device.LoadKernel(TestKernels.AddU32);
        var words = Filled(0, 0, 0, 0, 0);
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                c.Fill(words, 0, 4, 1);
                c.Copy(words, 4, words, 0, 4);
                c.Launch(add, new AddArguments { Address = words.Address, Words = 2, Addend = 1 });
                c.Copy(words, 8, words, 0, 4);
                c.UpdateTable(words, 0, 7);
                c.Copy(words, 12, words, 0, 4);
                c.Launch(add, new AddArguments { Address = words.Address + 12, Words = 1, Addend = 2 });
                c.Copy(words, 16, words, 12, 4);
                c.Fill(words, 0, 4, 0);
            }),
            point);
        Assert.Equal([0u, 0x01010102, 0x01010102, 9, 9], Read(words, point));
    }

    [Fact]
    public void Copies_of_a_submission_see_what_the_ones_before_them_wrote()
    {
        // More than a device makes at a time, at random: many read what another has just written, or write what another has just read or written.
        const int Words = 64;
        const int Copies = 500;
        var random = new Random(1);
        uint[] expected = [.. Enumerable.Range(0, Words).Select(i => (uint)i)];
        var words = Filled(expected);
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                for (var i = 0; i < Copies; i++)
                {
                    var count = random.Next(1, 6);
                    var from = random.Next(Words - count);
                    var to = random.Next(Words - count);
                    if (Math.Abs(from - to) >= count)
                    {
                        c.Copy(words, to * sizeof(uint), words, from * sizeof(uint), count * sizeof(uint));
                        expected.AsSpan(from, count).CopyTo(expected.AsSpan(to));
                    }
                }
            }),
            point);
        Assert.Equal(expected, Read(words, point));
    }

    [Fact]
    public void A_kernel_sees_what_earlier_commands_wrote()
    {
        var copyIndirect = Device.LoadKernel(TestKernels.CopyIndirect);
        var words = Filled(10, 11, 12, 13);
        var index = Filled(0);
        var target = Filled(0);
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                c.UpdateTable(words, 2, 99);
                c.UpdateTable(index, 0, 2);
                c.Launch(copyIndirect, new CopyIndirectArguments { Index = index.Address, Words = words.Address, Target = target.Address });
            }),
            point);
        Assert.Equal([99u], Read(target, point));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(257)]
    public void A_kernel_runs_each_of_its_items_once(int items)
    {
        const int Launches = 40;
        var countItems = Device.LoadKernel(TestKernels.CountItems);
        var count = Filled((uint)items);
        var counters = DeviceWords(items + 1);
        var point = At(Timeline(), 1);
        Queue().Submit(
            [],
            Commands(c =>
            {
                for (var i = 0; i < Launches; i++)
                {
                    c.Launch(countItems, new CountItemsArguments { Items = count.Address, Counters = counters.Address });
                }
            }),
            point);
        Assert.Equal([.. Enumerable.Repeat((uint)Launches, items), 0u], Read(counters, point));
    }

    [Fact]
    public void The_number_of_items_is_read_when_the_kernel_runs()
    {
        var countItems = Device.LoadKernel(TestKernels.CountItems);
        var count = Filled(0);
        var counters = DeviceWords(4);
        var point = At(Timeline(), 1);
        var launch = new CountItemsArguments { Items = count.Address, Counters = counters.Address };
        Queue().Submit(
            [],
            Commands(c =>
            {
                c.Launch(countItems, launch);
                c.UpdateTable(count, 0, 3);
                c.Launch(countItems, launch);
                c.UpdateTable(count, 0, 1);
                c.Launch(countItems, launch);
            }),
            point);
        Assert.Equal([2u, 1, 1, 0], Read(counters, point));
    }

    [Fact]
    public void Queues_may_launch_kernels_at_the_same_time()
    {
        const int Queues = 4;
        const int Launches = 100;
        const int Items = 5;
        var countItems = Device.LoadKernel(TestKernels.CountItems);
        var count = Filled(Items);
        var counters = Enumerable.Range(0, Queues).Select(_ => DeviceWords(Items)).ToArray();
        var points = counters.Select(_ => At(Timeline(), 1)).ToArray();
        for (var q = 0; q < Queues; q++)
        {
            Commands();
            for (var i = 0; i < Launches; i++)
            {
                _commands.Launch(countItems, new CountItemsArguments { Items = count.Address, Counters = counters[q].Address });
            }

            Queue().Submit([], _commands, points[q]);
        }

        for (var q = 0; q < Queues; q++)
        {
            Assert.Equal(Enumerable.Repeat((uint)Launches, Items), Read(counters[q], points[q]));
        }
    }
}
