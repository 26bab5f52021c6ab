using System.Runtime.CompilerServices;
using Kvcached.Daemon.Demo;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Tests.Kernels;

/// <summary>Runs a kernel as a device would: items in order on one worker, or shuffled over several.</summary>
internal static unsafe class KernelRunner
{
    internal static void Run<T>(string name, in T arguments, int workers = 1, int seed = 0)
        where T : unmanaged
    {
        var kernel = CpuKernelLibrary.All.Concat(Transformer.CpuKernels).Single(k => k.Name == name);
        var copy = arguments;
        var address = (nint)Unsafe.AsPointer(ref copy);
        var items = Enumerable.Range(0, kernel.Items((void*)address)).ToArray();
        if (workers == 1)
        {
            foreach (var item in items)
            {
                kernel.Run((void*)address, item, 0);
            }

            return;
        }

        new Random(seed).Shuffle(items);
        var next = -1;
        var failures = 0;
        var threads = Enumerable.Range(0, workers).Select(worker => new Thread(() =>
        {
            try
            {
                for (var i = Interlocked.Increment(ref next); i < items.Length; i = Interlocked.Increment(ref next))
                {
                    kernel.Run((void*)address, items[i], worker);
                }
            }
            catch (Exception)
            {
                Interlocked.Increment(ref failures);
                throw;
            }
        })).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Xunit.Assert.Equal(0, failures);
    }
}
