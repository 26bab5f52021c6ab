namespace Kvcached.Devices.Sim;

/// <summary>Which pages of a memory have memory behind them, and since when: what may be touched by those alone who come after that.</summary>
internal sealed class PagePresence(long bytes)
{
    private const uint Absent = uint.MaxValue;

    /// <summary>Epoch since which each page is there; 0 for always.</summary>
    private readonly uint[] _since = new uint[(bytes + DeviceMemory.PageBytes - 1) / DeviceMemory.PageBytes];

    public bool IsPresent(long offset) => _since[offset / DeviceMemory.PageBytes] != Absent;

    public void Discard(long offset, long bytes) => PagesOf(offset, bytes).Fill(Absent);

    /// <summary>Makes pages present. False if one is.</summary>
    public bool TryPopulate(uint epoch, long offset, long bytes)
    {
        var pages = PagesOf(offset, bytes);
        var areAbsent = !pages.ContainsAnyExcept(Absent);
        pages.Fill(epoch);
        return areAbsent;
    }

    /// <summary>Finds the first page of a range that is absent, or that came back without being ordered before who touches it.</summary>
    public bool TryFindMissing(ref readonly VectorClock clock, long offset, long bytes, out long missing)
    {
        missing = offset / DeviceMemory.PageBytes * DeviceMemory.PageBytes;
        foreach (var since in PagesOf(offset, bytes))
        {
            if (since == Absent || !clock.Covers(since))
            {
                return true;
            }

            missing += DeviceMemory.PageBytes;
        }

        return false;
    }

    private Span<uint> PagesOf(long offset, long bytes)
    {
        var first = (int)(offset / DeviceMemory.PageBytes);
        return bytes == 0 ? [] : _since.AsSpan(first, (int)((offset + bytes - 1) / DeviceMemory.PageBytes) - first + 1);
    }
}
