using System.Globalization;
using System.Text;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>Which devices there are.</summary>
internal static unsafe class OpenClPlatforms
{
    private const string InstallHint = "install the driver of a device, or pocl-opencl-icd (Debian, Ubuntu) to run on the CPU";

    /// <summary>All devices of all platforms.</summary>
    /// <exception cref="DeviceUnavailableException">There is no library, no platform or no device.</exception>
    internal static OpenClDeviceInfo[] Find()
    {
        Cl.Load();
        uint count;
        var code = Cl.GetPlatformIds(0, null, &count);
        if (code == Cl.PlatformNotFoundKhr || (code == Cl.Success && count == 0))
        {
            throw new DeviceUnavailableException($"There is {Cl.Library} but no OpenCL platform: {InstallHint}.");
        }

        OpenClException.Check(code, "clGetPlatformIDs");
        var platforms = new nint[count];
        fixed (nint* ids = platforms)
        {
            OpenClException.Check(Cl.GetPlatformIds(count, ids, null), "clGetPlatformIDs");
        }

        OpenClDeviceInfo[] devices = [.. platforms.SelectMany(DevicesOf)];
        return devices.Length > 0 ? devices : throw new DeviceUnavailableException($"No OpenCL platform has a device: {InstallHint}.");
    }

    /// <summary>The first usable device that the options name.</summary>
    /// <exception cref="DeviceUnavailableException">There is none; the message lists those there are, and what is wrong with them.</exception>
    internal static OpenClDeviceInfo Choose(OpenClDeviceOptions options)
    {
        var devices = Find();
        return Array.Find(devices, d => IsNamed(options.Platform, d.Platform, d.PlatformNumber) && IsNamed(options.Device, d.Name, d.Number) && d.Unusable is null)
            ?? throw new DeviceUnavailableException(
                $"No OpenCL device can be used that is on platform {options.Platform ?? "any"} and is device {options.Device ?? "any"}. There are: "
                + string.Join("; ", devices.Select(d => $"platform {d.PlatformNumber} ({d.Platform}), device {d.Number} ({d.Name}){(d.Unusable is null ? string.Empty : ": " + d.Unusable)}")) + ".");
    }

    private static bool IsNamed(string? wanted, string name, int number) =>
        wanted is null || (int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out var n) ? n == number : name.Contains(wanted, StringComparison.OrdinalIgnoreCase));

    private static IEnumerable<OpenClDeviceInfo> DevicesOf(nint platform, int platformNumber)
    {
        var name = PlatformNameOf(platform);
        return IdsOf(platform).Select((id, number) => Describe(id, number, name, platformNumber));
    }

    private static nint[] IdsOf(nint platform)
    {
        uint count;
        var code = Cl.GetDeviceIds(platform, Cl.DeviceTypeAll, 0, null, &count);
        if (code == Cl.DeviceNotFound)
        {
            return [];
        }

        OpenClException.Check(code, "clGetDeviceIDs");
        var devices = new nint[count];
        fixed (nint* ids = devices)
        {
            OpenClException.Check(Cl.GetDeviceIds(platform, Cl.DeviceTypeAll, count, ids, null), "clGetDeviceIDs");
        }

        return devices;
    }

    private static OpenClDeviceInfo Describe(nint id, int number, string platform, int platformNumber)
    {
        var isCpu = (Number<ulong>(id, Cl.DeviceTypeInfo) & Cl.DeviceTypeCpu) != 0;
        var info = new OpenClDeviceInfo
        {
            Id = id,
            Platform = platform,
            PlatformNumber = platformNumber,
            Name = Text(id, Cl.DeviceName),
            Number = number,
            Version = Text(id, Cl.DeviceVersion),
            ComputeUnits = (int)Number<uint>(id, Cl.DeviceMaxComputeUnits),
            Bytes = (long)Math.Min(Number<ulong>(id, Cl.DeviceGlobalMemSize), long.MaxValue),
            MaxAllocationBytes = (long)Math.Min(Number<ulong>(id, Cl.DeviceMaxMemAllocSize), long.MaxValue),
            MaxGroupSize = (int)Math.Min(Number<nuint>(id, Cl.DeviceMaxWorkGroupSize), int.MaxValue),
            IsCpu = isCpu,
            UsesHostMemory = CanUseHostMemory(isCpu, Number<uint>(id, Cl.DeviceHostUnifiedMemory) != 0, SvmCapabilities(id)),
        };
        return info with { Unusable = WhyUnusable(id, info) };
    }

    /// <summary>
    /// Whether the host's memory can be used in place, by host and device at the same time and without mapping it: by a CPU, and by a GPU that shares it and is coherent with it
    /// (fine-grained system memory). Other GPUs that share it may keep what is written there in a cache until it is mapped.
    /// </summary>
    internal static bool CanUseHostMemory(bool isCpu, bool isUnified, ulong svmCapabilities) =>
        isCpu || (isUnified && (svmCapabilities & Cl.DeviceSvmFineGrainSystem) != 0);

    /// <summary>0 where the device does not know the question: before OpenCL 2.0.</summary>
    private static ulong SvmCapabilities(nint id)
    {
        ulong capabilities;
        return Cl.GetDeviceInfo(id, Cl.DeviceSvmCapabilities, sizeof(ulong), &capabilities, null) == Cl.Success ? capabilities : 0;
    }

    private static string? WhyUnusable(nint id, OpenClDeviceInfo info)
    {
        if (Number<uint>(id, Cl.DeviceAvailable) == 0)
        {
            return "its driver says that it is not available";
        }

        if (Number<uint>(id, Cl.DeviceCompilerAvailable) == 0)
        {
            return "its driver has no compiler";
        }

        if (Number<uint>(id, Cl.DeviceEndianLittle) == 0 || Number<uint>(id, Cl.DeviceAddressBits) != 64)
        {
            return "it is not a little-endian device with addresses of 64 bits";
        }

        var items = GpuLaunch.MaxGroupSize / (info.IsCpu ? GpuLaunch.CpuLanes : 1);
        if (info.MaxGroupSize < items)
        {
            return $"its groups have at most {info.MaxGroupSize} work-items, and {items} are needed";
        }

        // "OpenCL 1.2 …"
        var version = info.Version.Split(' ');
        return version.Length > 1 && Version.TryParse(version[1], out var v) && v < new Version(1, 2)
            ? $"it has {info.Version}, and 1.2 is needed: install a newer driver"
            : null;
    }

    private static T Number<T>(nint device, uint name)
        where T : unmanaged
    {
        T value;
        OpenClException.Check(Cl.GetDeviceInfo(device, name, (nuint)sizeof(T), &value, null), "clGetDeviceInfo");
        return value;
    }

    private static string Text(nint device, uint name)
    {
        nuint size;
        OpenClException.Check(Cl.GetDeviceInfo(device, name, 0, null, &size), "clGetDeviceInfo");
        var bytes = new byte[size];
        fixed (byte* value = bytes)
        {
            OpenClException.Check(Cl.GetDeviceInfo(device, name, size, value, null), "clGetDeviceInfo");
        }

        return ToText(bytes);
    }

    private static string PlatformNameOf(nint platform)
    {
        nuint size;
        OpenClException.Check(Cl.GetPlatformInfo(platform, Cl.PlatformName, 0, null, &size), "clGetPlatformInfo");
        var bytes = new byte[size];
        fixed (byte* value = bytes)
        {
            OpenClException.Check(Cl.GetPlatformInfo(platform, Cl.PlatformName, size, value, null), "clGetPlatformInfo");
        }

        return ToText(bytes);
    }

    internal static string ToText(byte[] zeroTerminated) => Encoding.UTF8.GetString(zeroTerminated).TrimEnd('\0').Trim();
}
