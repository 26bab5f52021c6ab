namespace Kvcached.Devices.OpenCl;

/// <summary>A call of OpenCL has failed: the message names the call, and the error as the specification does.</summary>
public sealed class OpenClException(string call, int code) : DeviceCallException($"{call} failed: {NameOf(code)} ({code}).")
{
    private static readonly string[] _names =
    [
        "CL_SUCCESS", "CL_DEVICE_NOT_FOUND", "CL_DEVICE_NOT_AVAILABLE", "CL_COMPILER_NOT_AVAILABLE", "CL_MEM_OBJECT_ALLOCATION_FAILURE", "CL_OUT_OF_RESOURCES",
        "CL_OUT_OF_HOST_MEMORY", "CL_PROFILING_INFO_NOT_AVAILABLE", "CL_MEM_COPY_OVERLAP", "CL_IMAGE_FORMAT_MISMATCH", "CL_IMAGE_FORMAT_NOT_SUPPORTED",
        "CL_BUILD_PROGRAM_FAILURE", "CL_MAP_FAILURE", "CL_MISALIGNED_SUB_BUFFER_OFFSET", "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST", "CL_COMPILE_PROGRAM_FAILURE",
        "CL_LINKER_NOT_AVAILABLE", "CL_LINK_PROGRAM_FAILURE", "CL_DEVICE_PARTITION_FAILED", "CL_KERNEL_ARG_INFO_NOT_AVAILABLE",
    ];

    /// <summary>Those from −30 on.</summary>
    private static readonly string[] _invalidNames =
    [
        "CL_INVALID_VALUE", "CL_INVALID_DEVICE_TYPE", "CL_INVALID_PLATFORM", "CL_INVALID_DEVICE", "CL_INVALID_CONTEXT", "CL_INVALID_QUEUE_PROPERTIES", "CL_INVALID_COMMAND_QUEUE",
        "CL_INVALID_HOST_PTR", "CL_INVALID_MEM_OBJECT", "CL_INVALID_IMAGE_FORMAT_DESCRIPTOR", "CL_INVALID_IMAGE_SIZE", "CL_INVALID_SAMPLER", "CL_INVALID_BINARY",
        "CL_INVALID_BUILD_OPTIONS", "CL_INVALID_PROGRAM", "CL_INVALID_PROGRAM_EXECUTABLE", "CL_INVALID_KERNEL_NAME", "CL_INVALID_KERNEL_DEFINITION", "CL_INVALID_KERNEL",
        "CL_INVALID_ARG_INDEX", "CL_INVALID_ARG_VALUE", "CL_INVALID_ARG_SIZE", "CL_INVALID_KERNEL_ARGS", "CL_INVALID_WORK_DIMENSION", "CL_INVALID_WORK_GROUP_SIZE",
        "CL_INVALID_WORK_ITEM_SIZE", "CL_INVALID_GLOBAL_OFFSET", "CL_INVALID_EVENT_WAIT_LIST", "CL_INVALID_EVENT", "CL_INVALID_OPERATION", "CL_INVALID_GL_OBJECT",
        "CL_INVALID_BUFFER_SIZE", "CL_INVALID_MIP_LEVEL", "CL_INVALID_GLOBAL_WORK_SIZE", "CL_INVALID_PROPERTY", "CL_INVALID_IMAGE_DESCRIPTOR", "CL_INVALID_COMPILER_OPTIONS",
        "CL_INVALID_LINKER_OPTIONS", "CL_INVALID_DEVICE_PARTITION_COUNT",
    ];

    private const int FirstInvalid = 30;

    /// <summary>The call.</summary>
    public string Call { get; } = call;

    /// <summary>What it returned.</summary>
    public int Code { get; } = code;

    /// <summary>The name of a code in the specification.</summary>
    internal static string NameOf(int code)
    {
        var number = -(long)code;
        return number switch
        {
            >= 0 when number < _names.Length => _names[number],
            >= FirstInvalid when number < FirstInvalid + _invalidNames.Length => _invalidNames[number - FirstInvalid],
            -(long)Cl.PlatformNotFoundKhr => "CL_PLATFORM_NOT_FOUND_KHR",
            _ => "an error of the driver's own",
        };
    }

    /// <summary>Whether a code says that there is not enough memory.</summary>
    internal static bool IsOutOfMemory(int code) => code is Cl.MemObjectAllocationFailure or Cl.OutOfResources or Cl.OutOfHostMemory;

    /// <summary>Throws where a call has failed.</summary>
    internal static void Check(int code, string call)
    {
        if (code != Cl.Success)
        {
            throw new OpenClException(call, code);
        }
    }
}

/// <summary>A driver cannot build a text of kernels: the message has its log.</summary>
public sealed class OpenClBuildException(string message) : Exception(message);
