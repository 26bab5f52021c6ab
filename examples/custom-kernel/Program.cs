using Kvcached;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.OpenCl;
using Kvcached.Examples;
using Kvcached.Kernels;

// Usage: --device cpu|opencl|cuda [--native]
//
// Appends tokens to sequences that do not fit the pool together, so that they are evicted and reloaded, and after each step compares what a kernel of
// one's own has found through the table with what was written. With --native the kernel is launched by the device's own handles (opencl).
const int Sequences = 4, Steps = 5, TokensPerStep = 96, MaxTokens = Steps * TokensPerStep, Layers = 2;

if (args is not (["--device", "cpu" or "opencl" or "cuda"] or ["--device", "opencl", "--native"]))
{
    Console.Error.WriteLine("usage: --device cpu|opencl|cuda, or --device opencl --native");
    return 2;
}

using var device = Open(args[1]);
if (device is null)
{
    return 2;
}

using var native = args.Length == 3 ? new NativeKeyNorms((OpenClDevice)device) : null;
using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = 2 << 20, ColdBytes = 8 << 20 });
var model = cache.RegisterModel("example", new KvLayout { Layers = Layers, Heads = 2, HeadDim = 64, ElementType = KvElementType.Float32 });
var lane = cache.OpenLane();
using var run = new ExampleRun(cache, model, lane, native, TokensPerStep, MaxTokens);
var sequences = Enumerable.Range(0, Sequences).Select(_ => model.CreateSequence()).ToArray();
for (var step = 0; step < Steps; step++)
{
    for (var i = 0; i < Sequences; i++)
    {
        if (run.Step(sequences[i], layer: step % Layers) is { } wrong)
        {
            Console.Error.WriteLine(wrong);
            return 1;
        }
    }
}

var statistics = cache.GetStatistics();
if (statistics.EvictedBlocks == 0 || statistics.ReloadedBlocks == 0)
{
    Console.Error.WriteLine("Nothing was evicted and reloaded: the pool has room for all.");
    return 1;
}

Console.WriteLine($"{device.Name}{(native is null ? "" : ", by native handles")}: {run.Compared} norms right, {statistics.EvictedBlocks} blocks evicted, {statistics.ReloadedBlocks} reloaded");
return 0;

static IDevice? Open(string name)
{
    try
    {
        return name switch
        {
            "opencl" => new OpenClDevice(new OpenClDeviceOptions { Kernels = [KeyNorms.GpuKernel] }),
            "cuda" => new CudaDevice(new CudaDeviceOptions { Kernels = [KeyNorms.GpuKernel] }),
            _ => new CpuDevice(new CpuDeviceOptions { Kernels = [KeyNorms.CpuKernel] }),
        };
    }
    catch (DeviceUnavailableException e)
    {
        Console.Error.WriteLine(e.Message);
        return null;
    }
}
