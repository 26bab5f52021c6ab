using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.OpenCl;
using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The header's lookup on a GPU.</summary>
public sealed class CudaGoldenVectorTests
{
    [CudaFact]
    public void The_header_meets_the_golden_vectors_in_CUDA()
    {
        using var device = new CudaDevice(new CudaDeviceOptions { Kernels = GpuTestKernels.All });
        GpuGoldenVectorTests.Check(device);
    }
}

/// <summary>The header's lookup on a device that compiles it, against the golden vectors that every binding must meet.</summary>
public sealed class GpuGoldenVectorTests
{
    [OpenClFact]
    public void The_header_meets_the_golden_vectors_in_OpenCL_C()
    {
        using var device = new OpenClDevice(new OpenClDeviceOptions { Kernels = GpuTestKernels.All });
        Check(device);
    }

    internal static void Check(IDevice device)
    {
        using var machine = new DeviceMachine(device, maxHeadDim: 0);
        var vectors = TableAbiTests.GoldenVector.Read();
        using var lookups = machine.Array<GoldenLookup>(
        [
            .. vectors.Select(v => new GoldenLookup
            {
                Shape = v.Shape,
                View = v.View,
                Token = (uint)v.Token,
                Layer = (uint)v.Layer,
                Plane = (uint)v.Plane,
                Head = (uint)v.Head,
                Entry = v.Entry,
            }),
        ]);
        machine.Run(GpuTestKernels.Golden, new GoldenArguments { Vectors = lookups.Address, Count = (uint)vectors.Count });
        for (var i = 0; i < vectors.Count; i++)
        {
            Assert.Equal((vectors[i].EntryIndex, vectors[i].Offset), (lookups.Span[i].FoundIndex, lookups.Span[i].FoundOffset));
        }
    }
}
