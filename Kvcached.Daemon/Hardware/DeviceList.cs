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
        .. Those("opencl", OpenClDevice.List, Describe),
        .. Those("cuda", CudaDevice.List, Describe),
    ];

    /// <summary>The GPU that <c>auto</c> is: of CUDA, else of OpenCL; the CPU where there is none that can be used.</summary>
    public static DeviceName FirstGpu()
    {
        var cuda = IndexOf(CudaDevice.List, device => device.Unusable is null);
        if (cuda >= 0)
        {
            return new DeviceName(DeviceApi.Cuda, cuda);
        }

        // OpenCL on a CPU is slower than the cpu device.
        var openCl = IndexOf(OpenClDevice.List, device => device.Unusable is null && !device.IsCpu);
        return openCl >= 0 ? new DeviceName(DeviceApi.OpenCl, openCl) : DeviceName.Cpu;
    }

    private static ListedDevice Describe(OpenClDeviceInfo device, int index) =>
        new(Named("opencl", index), $"{device.Name}, {device.ComputeUnits} compute units, {device.Version}, of {device.Platform}", device.Bytes, device.Unusable);

    private static ListedDevice Describe(CudaDeviceInfo device, int index) =>
        new(Named("cuda", index), $"{device.Name}, {device.ComputeUnits} multiprocessors, compute capability {device.ComputeCapability / 10}.{device.ComputeCapability % 10}", device.Bytes, device.Unusable);

    private static string Named(string api, int index) => string.Create(CultureInfo.InvariantCulture, $"{api}:{index}");

    private static IEnumerable<ListedDevice> Those<T>(string api, Func<IReadOnlyList<T>> list, Func<T, int, ListedDevice> describe)
    {
        try
        {
            return list().Select(describe);
        }
        catch (DeviceUnavailableException error)
        {
            return [new ListedDevice(api, "none", null, error.Message)];
        }
    }

    private static int IndexOf<T>(Func<IReadOnlyList<T>> list, Predicate<T> isIt)
    {
        try
        {
            return list().ToList().FindIndex(isIt);
        }
        catch (DeviceUnavailableException)
        {
            return -1;
        }
    }
}
