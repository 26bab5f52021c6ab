using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>
/// Structures and constants that the CUDA driver takes, against the numbers that <c>cuda.h</c> of CUDA 12 gives them (CUDA Driver API reference, "Data types used by CUDA driver").
/// None of these tests needs a driver.
/// </summary>
public unsafe class CudaLayoutTests
{
    [Fact]
    public void Structures_have_the_layout_of_cuda_h()
    {
        Assert.Equal(8, sizeof(LibCuda.Location));
        Assert.Equal(32, sizeof(LibCuda.AllocationProperties));
        Assert.Equal(4, OffsetOf<LibCuda.AllocationProperties>(nameof(LibCuda.AllocationProperties.RequestedHandleTypes)));
        Assert.Equal(8, OffsetOf<LibCuda.AllocationProperties>(nameof(LibCuda.AllocationProperties.Location)));
        Assert.Equal(16, OffsetOf<LibCuda.AllocationProperties>(nameof(LibCuda.AllocationProperties.Win32HandleMetaData)));
        Assert.Equal(24, OffsetOf<LibCuda.AllocationProperties>(nameof(LibCuda.AllocationProperties.CompressionType)));
        Assert.Equal(26, OffsetOf<LibCuda.AllocationProperties>(nameof(LibCuda.AllocationProperties.Usage)));
        Assert.Equal(12, sizeof(LibCuda.AccessDescription));
        Assert.Equal(8, OffsetOf<LibCuda.AccessDescription>(nameof(LibCuda.AccessDescription.Flags)));
    }

    [Fact]
    public void A_batch_operation_is_the_union_of_six_64_bit_words()
    {
        Assert.Equal(6 * sizeof(ulong), sizeof(LibCuda.BatchOperation));
        Assert.Equal(0, OffsetOf<LibCuda.BatchOperation>(nameof(LibCuda.BatchOperation.Operation)));
        Assert.Equal(8, OffsetOf<LibCuda.BatchOperation>(nameof(LibCuda.BatchOperation.Address)));
        Assert.Equal(16, OffsetOf<LibCuda.BatchOperation>(nameof(LibCuda.BatchOperation.Value)));
        Assert.Equal(24, OffsetOf<LibCuda.BatchOperation>(nameof(LibCuda.BatchOperation.Flags)));
        Assert.Equal(32, OffsetOf<LibCuda.BatchOperation>(nameof(LibCuda.BatchOperation.Alias)));
    }

    [Fact]
    public void Constants_are_those_of_cuda_h()
    {
        Assert.Equal(0x1u, LibCuda.StreamNonBlocking); // CU_STREAM_NON_BLOCKING
        Assert.Equal(0x0u, LibCuda.WaitValueGreaterOrEqual); // CU_STREAM_WAIT_VALUE_GEQ
        Assert.Equal(0x0u, LibCuda.WriteValueDefault); // CU_STREAM_WRITE_VALUE_DEFAULT
        Assert.Equal(2, LibCuda.BatchWriteValue32); // CU_STREAM_MEM_OP_WRITE_VALUE_32
        Assert.Equal(0x1u, LibCuda.HostRegisterPortable); // CU_MEMHOSTREGISTER_PORTABLE
        Assert.Equal(0x2u, LibCuda.HostRegisterDeviceMap); // CU_MEMHOSTREGISTER_DEVICEMAP
        Assert.Equal(0x8u, LibCuda.HostRegisterReadOnly); // CU_MEMHOSTREGISTER_READ_ONLY
        Assert.Equal(1, LibCuda.AllocationTypePinned); // CU_MEM_ALLOCATION_TYPE_PINNED
        Assert.Equal(1, LibCuda.LocationTypeDevice); // CU_MEM_LOCATION_TYPE_DEVICE
        Assert.Equal(1, LibCuda.HandleTypePosixFileDescriptor); // CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
        Assert.Equal(3, LibCuda.AccessReadWrite); // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
        Assert.Equal(0, LibCuda.GranularityMinimum); // CU_MEM_ALLOC_GRANULARITY_MINIMUM
        Assert.Equal(5, LibCuda.JitErrorLogBuffer); // CU_JIT_ERROR_LOG_BUFFER
        Assert.Equal(6, LibCuda.JitErrorLogBufferBytes); // CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES
        Assert.Equal(3, LibCuda.FunctionLocalBytes); // CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES
        Assert.Equal(0, LibCuda.LimitStackBytes); // CU_LIMIT_STACK_SIZE
        Assert.Equal(0, LibCuda.LaunchParameterEnd); // CU_LAUNCH_PARAM_END
        Assert.Equal(1, LibCuda.LaunchParameterBuffer); // CU_LAUNCH_PARAM_BUFFER_POINTER
        Assert.Equal(2, LibCuda.LaunchParameterBytes); // CU_LAUNCH_PARAM_BUFFER_SIZE
    }

    [Theory]
    [InlineData(CudaAttribute.MultiprocessorCount, 16)]
    [InlineData(CudaAttribute.UnifiedAddressing, 41)]
    [InlineData(CudaAttribute.ComputeCapabilityMajor, 75)]
    [InlineData(CudaAttribute.ComputeCapabilityMinor, 76)]
    [InlineData(CudaAttribute.CanUseHostPointerForRegisteredMemory, 91)]
    [InlineData(CudaAttribute.HostRegisterSupported, 99)]
    [InlineData(CudaAttribute.VirtualMemoryManagementSupported, 102)]
    [InlineData(CudaAttribute.HandleTypePosixFileDescriptorSupported, 103)]
    [InlineData(CudaAttribute.ReadOnlyHostRegisterSupported, 113)]
    [InlineData(CudaAttribute.CanUse64BitStreamMemoryOperations, 122)]
    internal void Attributes_are_those_of_cuda_h(CudaAttribute attribute, int number) => Assert.Equal(number, (int)attribute);

    [Theory]
    [InlineData(CudaResult.Success, 0)]
    [InlineData(CudaResult.OutOfMemory, 2)]
    [InlineData(CudaResult.NoDevice, 100)]
    [InlineData(CudaResult.EccUncorrectable, 214)]
    [InlineData(CudaResult.IllegalAddress, 700)]
    [InlineData(CudaResult.LaunchTimeout, 702)]
    [InlineData(CudaResult.HardwareStackError, 714)]
    [InlineData(CudaResult.IllegalInstruction, 715)]
    [InlineData(CudaResult.MisalignedAddress, 716)]
    [InlineData(CudaResult.InvalidAddressSpace, 717)]
    [InlineData(CudaResult.InvalidProgramCounter, 718)]
    [InlineData(CudaResult.LaunchFailed, 719)]
    [InlineData(CudaResult.Assert, 710)]
    [InlineData(CudaResult.NvLinkUncorrectable, 220)]
    internal void Results_are_those_of_cuda_h(CudaResult result, int number) => Assert.Equal(number, (int)result);

    [Fact]
    public void Where_there_is_no_driver_the_error_says_what_to_do()
    {
        if (NativeLibrary.TryLoad(LibCuda.Library, out _))
        {
            Assert.NotNull(CudaDevice.List());
            return;
        }

        Assert.Contains("Install the NVIDIA driver", Assert.Throws<DeviceUnavailableException>(CudaDevice.List).Message, StringComparison.Ordinal);
        Assert.Contains("Install the NVIDIA driver", Assert.Throws<DeviceUnavailableException>(() => new CudaDevice()).Message, StringComparison.Ordinal);
    }

    private static int OffsetOf<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
