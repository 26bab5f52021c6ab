using System.Diagnostics;
using System.Globalization;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// Copies within the GPU by the copy engines and by a kernel, of 256 B to 256 KiB, 1 to 64 in a submission: microseconds a copy, and up to which size the kernel takes no longer
/// (<see cref="CudaDeviceOptions.KernelCopyBytes"/>).
/// </summary>
internal static class SmallCopies
{
    private const int Submissions = 32;
    private static readonly int[] _sizes = [256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 262_144];
    private static readonly int[] _batches = [1, 8, 64];
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);

    public static GpuFinding Run(GpuRig rig)
    {
        using var engines = new CudaDevice(new CudaDeviceOptions { Ordinal = rig.Ordinal, KernelCopyBytes = 0 });
        using var kernel = new CudaDevice(new CudaDeviceOptions { Ordinal = rig.Ordinal, KernelCopyBytes = int.MaxValue });
        return Run(engines, kernel, rig.Pace.Rounds);
    }

    /// <summary>Measures two devices in turn.</summary>
    internal static GpuFinding Run(IDevice engines, IDevice kernel, int rounds)
    {
        using var byEngine = new Copier(engines);
        using var byKernel = new Copier(kernel);
        var figures = new List<ExtraField>();
        var says = new List<string>();
        foreach (var batch in _batches)
        {
            var crossover = 0;
            var isBelow = true;
            foreach (var size in _sizes)
            {
                var (engine, own) = (new double[rounds], new double[rounds]);
                for (var round = -1; round < rounds; round++)
                {
                    var (a, b) = (byEngine.Copy(size, batch), byKernel.Copy(size, batch));

                    // The first finds nothing in caches.
                    if (round >= 0)
                    {
                        (engine[round], own[round]) = (a, b);
                    }
                }

                var (engineMedian, ownMedian) = (RatioStatistics.Median(engine), RatioStatistics.Median(own));
                figures.Add(new ExtraField($"engine_us_{batch}x{size}", engineMedian));
                figures.Add(new ExtraField($"kernel_us_{batch}x{size}", ownMedian));
                isBelow &= ownMedian <= engineMedian;
                crossover = isBelow ? size : crossover;
            }

            figures.Add(new ExtraField($"crossover_{batch}", crossover));
            says.Add(crossover == 0 ? string.Create(CultureInfo.InvariantCulture, $"{batch} at once never") : string.Create(CultureInfo.InvariantCulture, $"{batch} at once up to {crossover} bytes"));
        }

        return GpuFinding.Answer("small_copies", isSo: null, $"A kernel takes no longer than the copy engines: {string.Join(", ", says)}.", figures);
    }

    /// <summary>Copies on one device. Owns what it makes there.</summary>
    private sealed class Copier : IDisposable
    {
        private readonly DeviceMemory _source;
        private readonly DeviceMemory _target;
        private readonly DeviceQueue _queue;
        private readonly DeviceTimeline _done;
        private readonly CommandList _commands = new();
        private ulong _value;

        internal Copier(IDevice device)
        {
            // Every other range, so that neighbours do not become one copy.
            var bytes = 2L * _batches[^1] * _sizes[^1];
            (_source, _target) = (device.Allocate(bytes, MemoryKind.Device, "source"), device.Allocate(bytes, MemoryKind.Device, "target"));
            (_queue, _done) = (device.CreateQueue("copies"), device.CreateTimeline("copied"));
        }

        /// <summary>Microseconds a copy.</summary>
        internal double Copy(int size, int batch)
        {
            _commands.Clear();
            for (var i = 0; i < batch; i++)
            {
                _commands.Copy(_target, 2L * i * size, _source, 2L * i * size, size);
            }

            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < Submissions; i++)
            {
                _queue.Submit([], _commands, new TimelinePoint(_done, ++_value));
            }

            return _done.WaitOnHost(_value, _limit)
                ? Stopwatch.GetElapsedTime(start).TotalMicroseconds / Submissions / batch
                : throw new InvalidOperationException($"{batch} copies of {size} bytes are not done after {_limit}.");
        }

        public void Dispose()
        {
            _queue.Dispose();
            _done.Dispose();
            _source.Dispose();
            _target.Dispose();
        }
    }
}
