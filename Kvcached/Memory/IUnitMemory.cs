namespace Kvcached.Memory;

/// <summary>Where units of an arena get memory from that have none.</summary>
internal interface IUnitMemory
{
    /// <summary>Whether it gives memory later, not at once.</summary>
    bool ComesLater { get; }

    /// <summary>The smallest run, as a power of two, that it is worth asking for where units lie together that have none.</summary>
    int LeastOrder { get; }

    /// <summary>Gives memory to units.</summary>
    /// <returns>The arrival at which they have it, or have been refused; none where they have it now.</returns>
    Point Populate(int start, int units);

    /// <summary>Whether an arrival that has been observed is a refusal.</summary>
    bool IsRefused(Point arrival);
}
