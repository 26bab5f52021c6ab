using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;
using Kvcached.Tests.Memory;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>The tables of sequences and blocks, and the recency list, against plain collections.</summary>
public class SequenceTableTests
{
    [Fact]
    public void A_handle_finds_its_own_sequence_until_that_is_deleted_and_no_other_ever() => RandomProgram.CheckAll(100, 300, program =>
    {
        const int capacity = 20;
        var table = new SequenceTable(capacity);
        var live = new List<(SequenceHandle Handle, uint Id)>();
        var dead = new List<SequenceHandle> { default };
        var ids = new HashSet<uint>();
        while (!program.IsDone)
        {
            if (program.Chance(55))
            {
                var sequence = table.Create(program.Next(3), 0, 1 + program.Next(3));
                Assert.Equal(live.Count == capacity, sequence is null);
                if (sequence is not null)
                {
                    Assert.True(ids.Add(sequence.Id), $"Id {sequence.Id} is given twice.");
                    live.Add((sequence.Handle, sequence.Id));
                }
            }
            else if (live.Count > 0)
            {
                var at = program.Next(live.Count);
                table.Delete(table.Find(live[at].Handle)!);
                dead.Add(live[at].Handle);
                live.RemoveAt(at);
            }

            Assert.Equal(live.Count, table.InUse);
            Assert.All(live, one => Assert.Equal(one.Id, table.Find(one.Handle)?.Id));
            Assert.All(dead, handle => Assert.Null(table.Find(handle)));
        }
    });

    [Fact]
    public void Handles_that_were_never_given_find_nothing()
    {
        var table = new SequenceTable(4);
        var handle = table.Create(0, 0, 1)!.Handle;
        Assert.Null(table.Find(new SequenceHandle(-1, handle.Generation)));
        Assert.Null(table.Find(new SequenceHandle(1, handle.Generation)));
        Assert.Null(table.Find(new SequenceHandle(int.MaxValue, 1)));
        Assert.Null(table.Find(new SequenceHandle(handle.Index, handle.Generation + 1)));
    }

    [Fact]
    public void A_sequence_object_that_is_used_again_starts_empty()
    {
        var table = new SequenceTable(1);
        var first = table.Create(7, 3, 2)!;
        (first.Tokens, first.BegunTokens, first.CommittedTokens, first.Refused, first.IsLive, first.ResidentBytes) = (9, 9, 5, true, true, 4096);
        first.Rows[1].Append(5);
        first.Rows[1].MarkDirty(0);
        table.Delete(first);

        var second = table.Create(1, 2, 1)!;

        Assert.Same(first, second);
        Assert.Equal((0, 0, 0, false, false, 0L), (second.Tokens, second.BegunTokens, second.CommittedTokens, second.Refused, second.IsLive, second.ResidentBytes));
        Assert.Equal((1, 2), (second.Client, second.Model));
        Assert.All(second.Rows, row => Assert.True(row.Count == 0 && row.DirtyHigh == 0 && row.Heap.IsNone && row.Capacity == 0));
    }

    [Fact]
    public void Blocks_have_numbers_of_their_own_and_keep_their_state_while_others_come_and_go() => RandomProgram.CheckAll(30, 6000, program =>
    {
        var table = new BlockTable();
        var live = new Dictionary<int, (int Sequence, int Row, int Index)>();
        while (!program.IsDone)
        {
            if (program.Chance(70))
            {
                var (sequence, row, index) = (program.Next(100), program.Next(4), program.Next(1000));
                var number = table.Create(sequence, row, index);
                Assert.True(live.TryAdd(number, (sequence, row, index)), $"Block {number} is given twice.");
                Assert.Equal(new BlockState { Sequence = sequence, Row = (ushort)row, Index = index }, table[number]);
                table[number].Writer = WriterOf(number);
            }
            else if (live.Count > 0)
            {
                var number = live.Keys.ElementAt(program.Next(live.Count));
                Assert.Equal((live[number], WriterOf(number)), (PlaceOf(number), table[number].Writer));
                table.Delete(number);
                live.Remove(number);
            }
        }

        Assert.All(live, block => Assert.Equal((block.Value, WriterOf(block.Key)), (PlaceOf(block.Key), table[block.Key].Writer)));

        static Point WriterOf(int number) => new(4, (ulong)number + 1);

        (int Sequence, int Row, int Index) PlaceOf(int number) => (table[number].Sequence, table[number].Row, table[number].Index);
    });

    [Fact]
    public void Lists_of_block_numbers_keep_what_is_in_them_while_others_grow_and_go() => RandomProgram.CheckAll(50, 3000, program =>
    {
        var lists = new BlockLists();
        var rows = Enumerable.Range(0, 8).Select(_ => (Row: new SequenceRow(lists), Model: new List<int>())).ToArray();
        while (!program.IsDone)
        {
            var (row, model) = rows[program.Next(rows.Length)];
            if (program.Chance(1))
            {
                row.Reset();
                model.Clear();
            }

            for (var count = program.Chance(30) ? program.Next(Math.Min(40, model.Count + 1)) : 0; count > 0; count--)
            {
                Assert.Equal(model[^1], row.RemoveLast());
                model.RemoveAt(model.Count - 1);
            }

            for (var count = program.Next(40); count > 0; count--)
            {
                row.Append(model.Count ^ row.GetHashCode());
                model.Add(model.Count ^ row.GetHashCode());
            }
        }

        Assert.All(rows, pair => Assert.Equal(pair.Model, Enumerable.Range(0, pair.Row.Count).Select(i => pair.Row[i])));
        Assert.All(rows.Where(pair => pair.Row.Count > 0), pair => Assert.Equal(pair.Model[^1], pair.Row.Last));
    });

    [Fact]
    public void What_lists_of_any_length_give_back_serves_lists_of_any_other()
    {
        const int numbers = 1 << 16;
        var lists = new BlockLists();
        foreach (var length in (int[])[32, 1024, 64, numbers, 256, 4096, 32])
        {
            var rows = Enumerable.Range(0, numbers / length).Select(_ => new SequenceRow(lists)).ToArray();
            foreach (var row in rows)
            {
                for (var i = 0; i < length; i++)
                {
                    row.Append(i);
                }
            }

            Assert.All(rows, row => row.Reset());
        }

        // A number each, directories of every length (each at most an eighth more), and an eighth to grow by.
        Assert.InRange(lists.Room, numbers, numbers * 7 / 4);
    }

    [Fact]
    public void The_recency_list_names_sequences_in_the_order_of_their_last_touch() => RandomProgram.CheckAll(100, 200, program =>
    {
        var table = new SequenceTable(12);
        var sequences = Enumerable.Range(0, 12).Select(_ => table.Create(0, 0, 1)!).ToArray();
        var policy = new LeastRecentlyUsed(table);
        var order = new List<SequenceState>();
        while (!program.IsDone)
        {
            var sequence = sequences[program.Next(sequences.Length)];
            order.Remove(sequence);
            if (program.Chance(70))
            {
                policy.Touch(sequence);
                order.Add(sequence);
            }
            else
            {
                policy.Forget(sequence);
            }

            Assert.Equal(order, Walk(policy.First(), policy.Next));
            Assert.Equal(Enumerable.Reverse(order), Walk(policy.Last(), policy.Previous));
        }
    });

    private static IEnumerable<SequenceState> Walk(SequenceState? from, Func<SequenceState, SequenceState?> step)
    {
        for (var sequence = from; sequence is not null; sequence = step(sequence))
        {
            yield return sequence;
        }
    }
}
