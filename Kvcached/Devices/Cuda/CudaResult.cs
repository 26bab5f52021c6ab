namespace Kvcached.Devices.Cuda;

/// <summary>CUresult: those that mean something of their own to the device. All others are failures, which the driver names.</summary>
internal enum CudaResult
{
    Success = 0,
    OutOfMemory = 2,
    NoDevice = 100,
    IllegalAddress = 700,
    LaunchTimeout = 702,
    HardwareStackError = 714,
    IllegalInstruction = 715,
    MisalignedAddress = 716,
    InvalidAddressSpace = 717,
    InvalidProgramCounter = 718,
    LaunchFailed = 719,
    Assert = 710,
    NvLinkUncorrectable = 220,
    EccUncorrectable = 214,
}
