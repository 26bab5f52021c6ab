using Kvcached.Kernels;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// Which bytes of the pool views of live steps cover, and whose: a client enters what its views name once a step's begin point is reached, and takes it out before it signals the
/// end. The daemon may not give the same bytes to two meanwhile. Thread-safe.
/// </summary>
internal sealed class LiveCoverage(long poolBytes)
{
    private readonly Lock _lock = new();
    private readonly int[] _owners = new int[poolBytes / KvShape.GranuleBytes];
    private readonly List<string> _violations = [];

    /// <summary>Blocks that have been entered.</summary>
    public long Blocks { get; private set; }

    /// <summary>Blocks that were others' at the time, or outside the pool.</summary>
    public long Violated { get; private set; }

    public IReadOnlyList<string> Violations => _violations;

    /// <summary>Enters a block.</summary>
    /// <returns>False if it was another's: it is not to be taken out then.</returns>
    public bool Enter(int owner, uint granule, long bytes)
    {
        lock (_lock)
        {
            Blocks++;
            var count = (int)(bytes / KvShape.GranuleBytes);
            if (granule + (long)count > _owners.Length)
            {
                return Violate($"Client {owner} has a block at granule {granule}, outside the pool.");
            }

            var owners = _owners.AsSpan((int)granule, count);
            var other = owners.IndexOfAnyExcept(0);
            if (other >= 0)
            {
                return Violate($"Client {owner} has a block at granule {granule} that client {owners[other]} has too.");
            }

            owners.Fill(owner);
            return true;
        }
    }

    public void Leave(uint granule, long bytes)
    {
        lock (_lock)
        {
            _owners.AsSpan((int)granule, (int)(bytes / KvShape.GranuleBytes)).Clear();
        }
    }

    private bool Violate(string what)
    {
        Violated++;
        if (_violations.Count < 10)
        {
            _violations.Add(what);
        }

        return false;
    }
}
