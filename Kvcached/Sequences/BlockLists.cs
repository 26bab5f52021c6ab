namespace Kvcached.Sequences;

/// <summary>A list of block numbers that <see cref="BlockLists"/> keeps: where its directory lies, how many pages fit in it, and how many there are.</summary>
internal struct BlockList
{
    public int Directory;
    public int Capacity;
    public int Pages;
}

/// <summary>
/// Storage for lists of block numbers, in pages of 16: whatever the lengths of the sequences that come and go, a freed page serves the next. A
/// list has a directory of its pages, of 4 × 2^k. Pages and directories lie in one array, so that a sequence that grows allocates nothing;
/// freed ones are kept by size, linked through their first element. The array grows by an eighth.
/// <code>
///   number = storage[storage[list.Directory + index / 16] + index % 16]
/// </code>
/// </summary>
internal sealed class BlockLists
{
    private const int PageShift = 4;
    private const int PageSize = 1 << PageShift;
    private const int SmallestShift = 2;
    private const int None = -1;

    private readonly int[] _free = new int[32 - SmallestShift];
    private int[] _storage = new int[1 << 12];
    private int _end;

    public BlockLists() => _free.AsSpan().Fill(None);

    /// <summary>Numbers and directory entries that there is room for.</summary>
    public int Room => _storage.Length;

    /// <summary>The number at an index of a list. There is place for it once it has been made.</summary>
    public ref int At(in BlockList list, int index) => ref _storage[_storage[list.Directory + (index >> PageShift)] + (index & (PageSize - 1))];

    /// <summary>Makes place for so many numbers.</summary>
    public void EnsurePlace(ref BlockList list, int count)
    {
        while (list.Pages << PageShift < count)
        {
            if (list.Pages == list.Capacity)
            {
                GrowDirectory(ref list);
            }

            // Renting may move the storage: first the page, then the place where it is noted.
            var page = Rent(PageSize);
            _storage[list.Directory + list.Pages++] = page;
        }
    }

    /// <summary>Takes back all that a list has.</summary>
    public void Return(ref BlockList list)
    {
        for (var i = 0; i < list.Pages; i++)
        {
            Return(_storage[list.Directory + i], PageSize);
        }

        if (list.Capacity > 0)
        {
            Return(list.Directory, list.Capacity);
        }

        list = default;
    }

    private void GrowDirectory(ref BlockList list)
    {
        var capacity = list.Capacity == 0 ? 1 << SmallestShift : list.Capacity * 2;
        var place = Rent(capacity);
        if (list.Capacity > 0)
        {
            _storage.AsSpan(list.Directory, list.Pages).CopyTo(_storage.AsSpan(place));
            Return(list.Directory, list.Capacity);
        }

        (list.Directory, list.Capacity) = (place, capacity);
    }

    private void Return(int place, int size)
    {
        ref var free = ref _free[int.Log2(size) - SmallestShift];
        _storage[place] = free;
        free = place;
    }

    private int Rent(int size)
    {
        ref var free = ref _free[int.Log2(size) - SmallestShift];
        if (free != None)
        {
            var place = free;
            free = _storage[place];
            return place;
        }

        if (_end + size > _storage.Length)
        {
            Array.Resize(ref _storage, Math.Max(_end + size, _storage.Length + (_storage.Length / 8)));
        }

        _end += size;
        return _end - size;
    }
}
