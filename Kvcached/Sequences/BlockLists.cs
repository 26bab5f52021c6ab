namespace Kvcached.Sequences;

/// <summary>
/// Storage for lists of block numbers, in sizes of 16 × 2^k: one array, so that a sequence that grows allocates nothing. Freed lists are kept
/// by size, linked through their first element. Grows by doubling.
/// </summary>
internal sealed class BlockLists
{
    private const int SmallestShift = 4;
    private const int None = -1;

    private readonly int[] _free = new int[32 - SmallestShift];
    private int[] _storage = new int[1 << 16];
    private int _end;

    public BlockLists() => _free.AsSpan().Fill(None);

    public ref int this[int index] => ref _storage[index];

    /// <summary>Moves a list to one with room for another element. A list of capacity 0 has no place yet.</summary>
    public void Grow(ref int start, ref int capacity)
    {
        var grown = capacity == 0 ? 1 << SmallestShift : capacity * 2;
        var place = Rent(grown);
        if (capacity > 0)
        {
            _storage.AsSpan(start, capacity).CopyTo(_storage.AsSpan(place));
            Return(start, capacity);
        }

        (start, capacity) = (place, grown);
    }

    public void Return(int start, int capacity)
    {
        ref var free = ref _free[int.Log2(capacity) - SmallestShift];
        _storage[start] = free;
        free = start;
    }

    private int Rent(int capacity)
    {
        ref var free = ref _free[int.Log2(capacity) - SmallestShift];
        if (free != None)
        {
            var place = free;
            free = _storage[place];
            return place;
        }

        while (_end + capacity > _storage.Length)
        {
            Array.Resize(ref _storage, _storage.Length * 2);
        }

        _end += capacity;
        return _end - capacity;
    }
}
