namespace Kvcached.Devices.Cuda;

/// <summary>CUdevice_attribute: those that are asked for.</summary>
internal enum CudaAttribute
{
    MultiprocessorCount = 16,
    UnifiedAddressing = 41,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    CanUseHostPointerForRegisteredMemory = 91,
    HostRegisterSupported = 99,
    VirtualMemoryManagementSupported = 102,
    HandleTypePosixFileDescriptorSupported = 103,
    ReadOnlyHostRegisterSupported = 113,
    CanUse64BitStreamMemoryOperations = 122,
}
