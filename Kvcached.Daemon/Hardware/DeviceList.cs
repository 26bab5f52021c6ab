using System.Globalization;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.OpenCl;

namespace Kvcached.Daemon.Hardware;

/// <summary>A device of this machine, for people.</summary>
/// <param name="Name">What <c>--device</c> takes.</param>
/// <param name="Description">What it is.</param>
/// <param name="Bytes">Its memory; null where that is the host's, or not known.</param>
/// <param name="Unusable">Why it cannot be used, and what to do; null if it can.</param>
internal sealed record ListedDevice(string Name, string Description, long? Bytes, string? Unusable);

/// <summary>The devices of this machine, also those that cannot be used.</summary>
internal static class DeviceList
{
    /// <summary>All, in the order of their names' numbers.</summary>
    public static IReadOnlyList<ListedDevice> Find() =>
    [
        new("cpu", $"{Environment.ProcessorCount} processors", null, null),
        .. OpenClDevice.List().Select(Describe),
        .. FindCuda(),
    ];

    /// <summary>The GPU that <c>auto</c> is: of CUDA, else of OpenCL; the CPU where there is none that can be used. OpenCL on a CPU is slower than the cpu device.</summary>
    public static DeviceName FirstGpu()
    {
        var cuda = FindCuda().FirstOrDefault(device => device.Unusable is null);
        if (cuda is not null)
        {
            return DeviceName.Parse(cuda.Name)!.Value;
        }

        var openCl = OpenClDevice.List().ToList().FindIndex(device => device.Unusable is null && !device.IsCpu);
        return openCl >= 0 ? new DeviceName(DeviceApi.OpenCl, openCl) : DeviceName.Cpu;
    }

    private static ListedDevice Describe(OpenClDeviceInfo device, int index) =>
        new(Named("opencl", index), device.Bytes == 0 ? device.Name : $"{device.Name}, {device.ComputeUnits} compute units, {device.Version}, of {device.Platform}", device.Bytes == 0 ? null : device.Bytes, device.Unusable);

    private static ListedDevice Describe(CudaDeviceInfo device, int index) =>
        new(Named("cuda", index), $"{device.Name}, {device.ComputeUnits} multiprocessors, compute capability {device.ComputeCapability / 10}.{device.ComputeCapability % 10}", device.Bytes, device.Unusable);

    private static string Named(string api, int index) => string.Create(CultureInfo.InvariantCulture, $"{api}:{index}");

    private static IEnumerable<ListedDevice> FindCuda()
    {
        try
        {
            return CudaDevice.List().Select(Describe);
        }
        catch (DeviceUnavailableException error)
        {
            return [new ListedDevice("cuda", "none", null, error.Message)];
        }
    }
}
