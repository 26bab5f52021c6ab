using System.CommandLine;
using System.Globalization;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Host;
using Kvcached.Devices.OpenCl;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Daemon.Hardware;

/// <summary>What a device is driven by.</summary>
internal enum DeviceApi
{
    Cpu,
    OpenCl,
    Cuda,

    /// <summary>A GPU, if one can be used, else the CPU.</summary>
    Auto,
}

/// <summary>A device by its name on the command line: <c>cpu</c>, <c>opencl</c>, <c>opencl:1</c>, <c>cuda</c>, <c>cuda:0</c> or <c>auto</c>.</summary>
/// <param name="Api">What it is driven by.</param>
/// <param name="Number">Which of those that <c>kvcached devices</c> lists; null for the first that can be used.</param>
internal readonly record struct DeviceName(DeviceApi Api, int? Number)
{
    /// <summary>What a name may be: the end of a message that says that one is something else.</summary>
    public const string Allowed = "cpu, opencl, cuda or auto; one of several as 'kvcached devices' lists it: opencl:1";

    /// <summary>The CPU.</summary>
    public static readonly DeviceName Cpu = new(DeviceApi.Cpu, null);

    /// <summary>An option of a command.</summary>
    public static Option<DeviceName> Option(string description) => new("--device")
    {
        Description = description,
        HelpName = "name",
        DefaultValueFactory = _ => Cpu,
        CustomParser = result =>
        {
            if (Parse(result.Tokens[0].Value) is { } name)
            {
                return name;
            }

            result.AddError($"--device is '{Printable.Escape(result.Tokens[0].Value)}'; it must be {Allowed}.");
            return Cpu;
        },
    };

    /// <summary>The device of a name; null if it is none.</summary>
    public static DeviceName? Parse(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var number = 0;
        if (colon >= 0 && !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out number))
        {
            return null;
        }

        return (colon < 0 ? text : text[..colon], colon >= 0) switch
        {
            ("cpu", false) => Cpu,
            ("auto", false) => new DeviceName(DeviceApi.Auto, null),
            ("opencl", var isNumbered) => new DeviceName(DeviceApi.OpenCl, isNumbered ? number : null),
            ("cuda", var isNumbered) => new DeviceName(DeviceApi.Cuda, isNumbered ? number : null),
            _ => null,
        };
    }

    /// <summary>The device itself where the name leaves a choice, for processes that are all to open the same.</summary>
    /// <exception cref="DeviceUnavailableException">It cannot be used; the message says what to do.</exception>
    public DeviceName Resolve()
    {
        if (Api is DeviceApi.Cpu or DeviceApi.Auto)
        {
            return Api == DeviceApi.Auto ? DeviceList.FirstGpu() : Cpu;
        }

        var (api, number) = (this with { Number = null }, Number);
        var those = DeviceList.Find().Where(device => device.Name == $"{api}" || device.Name.StartsWith($"{api}:", StringComparison.Ordinal)).ToList();
        var wanted = number is { } one ? those.Find(device => device.Name == $"{api}:{one}") : those.Find(device => device.Unusable is null) ?? those[0];
        var usable = those.Where(device => device.Unusable is null).Select(device => device.Name).ToList();
        return wanted is null ? throw new DeviceUnavailableException($"There is no {this}. {(usable.Count > 0 ? $"There is {string.Join(", ", usable)}." : those[0].Unusable)} 'kvcached devices' lists all.")
            : wanted.Unusable is { } why ? throw new DeviceUnavailableException($"{this} cannot be used: {why}")
            : Parse(wanted.Name)!.Value;
    }

    /// <summary>Opens the device.</summary>
    /// <param name="kernels">Kernels beside those that every device has.</param>
    /// <param name="workers">Threads of a cpu device; null for all processors.</param>
    /// <exception cref="DeviceUnavailableException">It cannot be used; the message says what to do.</exception>
    public MappedDevice Open(DeviceKernels kernels, int? workers = null) => Resolve() switch
    {
        (DeviceApi.OpenCl, var number) => new OpenClDevice(OpenClOptions(kernels, OpenClDevice.List()[number ?? 0])),
        (DeviceApi.Cuda, var number) => new CudaDevice(new CudaDeviceOptions { Ordinal = number ?? 0, Kernels = kernels.Gpu }),
        _ => new CpuDevice(workers is { } count ? new CpuDeviceOptions { Workers = count, Kernels = kernels.Cpu } : new CpuDeviceOptions { Kernels = kernels.Cpu }),
    };

    public override string ToString() => (Api, Number) switch
    {
        (DeviceApi.OpenCl, null) => "opencl",
        (DeviceApi.OpenCl, { } number) => $"opencl:{number}",
        (DeviceApi.Cuda, null) => "cuda",
        (DeviceApi.Cuda, { } number) => $"cuda:{number}",
        (DeviceApi.Auto, _) => "auto",
        _ => "cpu",
    };

    private static OpenClDeviceOptions OpenClOptions(DeviceKernels kernels, OpenClDeviceInfo device) => new()
    {
        Kernels = kernels.Gpu,
        Platform = device.PlatformNumber.ToString(CultureInfo.InvariantCulture),
        Device = device.Number.ToString(CultureInfo.InvariantCulture),
    };
}

/// <summary>Kernels for either kind of device.</summary>
/// <param name="Cpu">For the cpu device.</param>
/// <param name="Gpu">For devices that compile them.</param>
internal sealed record DeviceKernels(IReadOnlyList<CpuKernel> Cpu, IReadOnlyList<GpuKernel> Gpu)
{
    /// <summary>None beside those that every device has.</summary>
    public static readonly DeviceKernels None = new([], []);
}
