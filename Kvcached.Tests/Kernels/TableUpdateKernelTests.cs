using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The kernel behind table updates, given more at once than a device that stages them gives it: the cpu device has none.</summary>
public sealed class TableUpdateKernelTests
{
    [OpenClFact]
    public void Updates_take_effect_in_their_order_and_write_nothing_else()
    {
        using var machine = new OpenClMachine();
        Check(machine);
    }

    [OpenClFact]
    public void Updates_take_effect_in_their_order_where_a_work_item_is_one_lane()
    {
        using var machine = new OpenClMachine(lanes: 1);
        Check(machine);
    }

    internal static void Check(KernelMachine machine)
    {
        foreach (var (count, entries) in new[] { (1, 3), (15, 3), (17, 100), (255, 7), (256, 300), (257, 1), (511, 20), (513, 600), (20_000, 5), (20_000, 50_000) })
        {
            var random = new Random(count + entries);
            using var table = machine.Array<uint>([.. Enumerable.Range(0, entries + 1).Select(i => (uint)i)]);
            using var updates = machine.Array<TableEntry>([.. Enumerable.Range(0, count + 1).Select(i => new TableEntry((uint)random.Next(entries), 1_000_000 + (uint)i))]);
            var expected = table.Span.ToArray();
            foreach (var update in updates.Span[..count])
            {
                expected[update.Index] = update.Value;
            }

            machine.Run(KernelNames.UpdateTable, new TableUpdateArguments { Table = table.Address, Updates = updates.Address, Count = (uint)count });
            Assert.Equal(expected, table.Span.ToArray());
        }
    }
}

/// <summary>The same on a GPU.</summary>
public sealed class CudaTableUpdateTests
{
    [CudaFact]
    public void Updates_take_effect_in_their_order_and_write_nothing_else()
    {
        using var machine = new CudaMachine();
        TableUpdateKernelTests.Check(machine);
    }
}
