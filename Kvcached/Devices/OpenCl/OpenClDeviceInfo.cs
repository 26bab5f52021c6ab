namespace Kvcached.Devices.OpenCl;

/// <summary>An OpenCL device that is there, or why there is none.</summary>
public sealed record OpenClDeviceInfo
{
    /// <summary>Name of its platform.</summary>
    public required string Platform { get; init; }

    /// <summary>Number of its platform.</summary>
    public int PlatformNumber { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its number within its platform.</summary>
    public int Number { get; init; }

    /// <summary>Its version, as it says: <c>OpenCL 3.0 …</c>.</summary>
    public string Version { get; init; } = string.Empty;

    /// <summary>Compute units.</summary>
    public int ComputeUnits { get; init; }

    /// <summary>Bytes of memory.</summary>
    public long Bytes { get; init; }

    /// <summary>Most bytes of one allocation.</summary>
    public long MaxAllocationBytes { get; init; }

    /// <summary>Whether it is a CPU.</summary>
    public bool IsCpu { get; init; }

    /// <summary>Whether it can use the host's memory, so that processes can share its pool.</summary>
    public bool UsesHostMemory { get; init; }

    /// <summary>Why it cannot be used, and what to do; null if it can.</summary>
    public string? Unusable { get; init; }

    internal nint Id { get; init; }

    internal int MaxGroupSize { get; init; }
}
