using System.Runtime.InteropServices;
using Kvcached.Devices.Host;

namespace Kvcached.Devices.OpenCl;

// What the device adds to a record behind the payload: for each command one of these, in order, and at the very end a completion.

/// <summary>A memory object; in <see cref="CommandRecord"/>, Target and Source are bytes from its start, or addresses of the host where there is none.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct TransferBuffers
{
    internal const int Bytes = 16;

    internal nint Target;
    internal nint Source;
}

/// <summary>How a kernel is spread; <see cref="KernelMemory"/> for each address that it takes follows.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct LaunchShape
{
    internal const int Bytes = 32;

    /// <summary>Nothing to do.</summary>
    internal const int None = -1;

    /// <summary>Among the device's functions, or <see cref="None"/>.</summary>
    internal int Function;

    internal uint GroupSize;
    internal uint GroupsX;
    internal uint GroupsY;
    internal uint GroupsZ;
    internal int Addresses;
}

/// <summary>A memory object and the address of its byte 0.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct KernelMemory
{
    internal const int Bytes = 16;

    internal nint Buffer;
    internal ulong Base;
}

/// <summary>What the driver's callback is given: the record, at whose end this lies.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct Completion
{
    internal const int Bytes = 16;

    /// <summary>Handle of the queue.</summary>
    internal nint Queue;

    /// <summary>Whether the driver has called; guarded by the queue's lock.</summary>
    internal bool IsDone;

    /// <summary>That of a published record.</summary>
    internal static Completion* Of(SubmissionRecord* record) => (Completion*)((byte*)record + record->Bytes - Bytes);
}
