using System.Runtime.InteropServices;

namespace Kvcached.Devices.Cuda;

/// <summary>Checks the results of driver calls. Thread-safe.</summary>
internal static unsafe class CudaCall
{
    /// <summary>Does nothing if the call succeeded.</summary>
    /// <param name="result">What it returned.</param>
    /// <param name="call">Its name, as in <c>cuda.h</c>.</param>
    /// <exception cref="OutOfDeviceMemoryException">The driver has not got the memory.</exception>
    /// <exception cref="DeviceLostException">A command failed: nothing that follows in this process will work on the device.</exception>
    /// <exception cref="CudaException">Anything else.</exception>
    internal static void Check(CudaResult result, string call)
    {
        if (result != CudaResult.Success)
        {
            throw Failure(result, call);
        }
    }

    /// <summary>The exception for a result, with the driver's own name and text of it.</summary>
    internal static Exception Failure(CudaResult result, string call)
    {
        var message = $"{call} failed with {NameOf(result)} ({(int)result}): {TextOf(result)}.";
        return result == CudaResult.OutOfMemory ? new OutOfDeviceMemoryException(message)
            : IsLost(result) ? new DeviceLostException($"{message} This process cannot use the GPU any more: start it again.")
            : new CudaException(result, message);
    }

    /// <summary>Whether the context is corrupted: all later calls of the process fail, too (cuda.h, CUresult).</summary>
    internal static bool IsLost(CudaResult result) => result is CudaResult.IllegalAddress or CudaResult.LaunchTimeout or CudaResult.HardwareStackError or CudaResult.IllegalInstruction
        or CudaResult.MisalignedAddress or CudaResult.InvalidAddressSpace or CudaResult.InvalidProgramCounter or CudaResult.LaunchFailed or CudaResult.Assert
        or CudaResult.EccUncorrectable or CudaResult.NvLinkUncorrectable;

    private static string NameOf(CudaResult result)
    {
        byte* name;
        return LibCuda.GetErrorName(result, &name) == CudaResult.Success ? Marshal.PtrToStringUTF8((nint)name)! : "an unknown error";
    }

    private static string TextOf(CudaResult result)
    {
        byte* text;
        return LibCuda.GetErrorString(result, &text) == CudaResult.Success ? Marshal.PtrToStringUTF8((nint)text)! : "the driver does not say more";
    }
}

/// <summary>A call of the CUDA driver has failed; the message names both. The device goes on.</summary>
public sealed class CudaException : DeviceCallException
{
    internal CudaException(CudaResult result, string message)
        : base(message) => Result = (int)result;

    /// <summary>The CUresult.</summary>
    public int Result { get; }
}
