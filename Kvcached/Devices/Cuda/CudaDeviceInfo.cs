namespace Kvcached.Devices.Cuda;

/// <summary>A GPU that the driver shows.</summary>
/// <param name="Ordinal">Its number.</param>
/// <param name="Name">Its name.</param>
/// <param name="ComputeCapability">Ten times the major number plus the minor one: 90 for 9.0.</param>
/// <param name="ComputeUnits">Multiprocessors.</param>
/// <param name="Bytes">Bytes of memory.</param>
/// <param name="Unusable">Why it cannot be used, and what to do; null if it can.</param>
public sealed record CudaDeviceInfo(int Ordinal, string Name, int ComputeCapability, int ComputeUnits, long Bytes, string? Unusable);
