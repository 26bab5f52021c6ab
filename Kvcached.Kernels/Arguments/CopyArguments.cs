using System.Runtime.InteropServices;

namespace Kvcached.Kernels;

/// <summary>Arguments of <see cref="KernelNames.Copy"/>. The ranges must not overlap.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct CopyArguments
{
    /// <summary>Address to read.</summary>
    public ulong Source;

    /// <summary>Address to write.</summary>
    public ulong Target;

    /// <summary>Bytes to copy.</summary>
    public ulong Bytes;
}

/// <summary>Arguments of <see cref="KernelNames.Fill"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 8)]
public struct FillArguments
{
    /// <summary>Address to write.</summary>
    public ulong Target;

    /// <summary>Bytes to fill.</summary>
    public ulong Bytes;

    /// <summary>Value of every byte; only its low eight bits count.</summary>
    public ulong Value;
}
