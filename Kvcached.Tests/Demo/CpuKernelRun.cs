using System.Runtime.CompilerServices;
using Kvcached.Kernels;

namespace Kvcached.Tests.Demo;

/// <summary>Runs a kernel of the demo, items last to first: their order must not matter.</summary>
internal static unsafe class CpuKernelRun
{
    public static void Of<T>(CpuKernel kernel, T arguments)
        where T : unmanaged
    {
        var address = Unsafe.AsPointer(ref arguments);
        for (var item = kernel.Items(address) - 1; item >= 0; item--)
        {
            kernel.Run(address, item, 0);
        }
    }
}
