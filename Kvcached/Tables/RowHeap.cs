using Kvcached.Devices;
using Kvcached.Memory;

namespace Kvcached.Tables;

/// <summary>
/// The entry heap: rows of block entries in device memory, at multiples of 128 bytes, in sizes of 32 × 2^k entries. A freed row is the row
/// plus its frontier, like a block (I2).
/// </summary>
internal sealed class RowHeap
{
    public const int LineEntries = 32;

    private readonly int[] _layouts;

    public RowHeap(DeviceMemory memory, long unitBytes, TimelineTable timelines)
    {
        Memory = memory;
        Pool = new BlockPool(memory.Bytes, unitBytes, timelines);
        var sizes = 0;
        while ((long)LineEntries * sizeof(uint) << sizes <= memory.Bytes)
        {
            sizes++;
        }

        _layouts = new int[sizes];
        for (var size = 0; size < sizes; size++)
        {
            _layouts[size] = Pool.AddLayout((long)LineEntries * sizeof(uint) << size);
        }
    }

    public DeviceMemory Memory { get; }

    public BlockPool Pool { get; }

    /// <summary>The longest row that an empty heap can hold.</summary>
    public int MaxEntries
    {
        get
        {
            var size = _layouts.Length - 1;
            while (size > 0 && _layouts[size] < 0)
            {
                size--;
            }

            return LineEntries << size;
        }
    }

    /// <summary>Entries of the row that is handed out for a number of entries.</summary>
    public static int CapacityFor(int entries) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(entries, LineEntries));

    /// <summary>Bytes of a row of a capacity.</summary>
    public static long BytesOf(int capacity) => (long)capacity * sizeof(uint);

    /// <summary>Hands out a row that a lane may write enqueue-ahead.</summary>
    public bool TryAllocate(int capacity, int lane, out BlockAddress row, out Frontier frontier)
    {
        return Pool.TryAllocate(LayoutOf(capacity), lane, out row, out frontier);
    }

    /// <summary>The pool's layout of rows of a capacity.</summary>
    public int LayoutOf(int capacity) => _layouts[int.Log2(capacity / LineEntries)];

    /// <summary>Index of a row's first entry.</summary>
    public uint StartOf(BlockAddress row) => (uint)(Pool.OffsetOf(row) / sizeof(uint));
}
