using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// Whether streams that wait slow one that works: kernels one after the other, with nobody waiting, beside streams of this process that wait, and beside another process
/// whose stream waits. The first two in turn, so that what drifts falls on both.
/// </summary>
internal static class BlockedWait
{
    private const string Name = "blocked_wait";
    private const int Rounds = 15;
    private const int Launches = 100;
    private const long Bytes = 8 << 20;
    private static readonly int[] _streams = [1, 7, 31];
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);

    public static GpuFinding Run(GpuRig rig)
    {
        using var source = rig.Device.Allocate(Bytes, MemoryKind.Device, "source");
        using var target = rig.Device.Allocate(Bytes, MemoryKind.Device, "target");
        using var words = new HostWords(rig.Context);
        using var never = new HostWords(rig.Context);
        using var stream = new GpuStream(rig);
        var copy = new CopyArguments { Source = source.Address, Target = target.Address, Bytes = (ulong)Bytes };
        var waiting = Enumerable.Range(0, _streams.Max()).Select(_ => new GpuStream(rig.Context)).ToList();
        var idle = new List<double>();
        var beside = _streams.ToDictionary(count => count, _ => new List<double>());
        var besidePeer = new List<double>();
        var (value, isStuck) = (0UL, false);
        double Measure()
        {
            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < Launches; i++)
            {
                stream.Launch(KernelNames.Copy, copy);
            }

            isStuck |= !Spin(stream);
            return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Launches;
        }

        Measure();
        for (var round = 0; round < Rounds && !isStuck; round++)
        {
            idle.Add(Measure());
            foreach (var count in _streams)
            {
                value++;
                waiting.Take(count).ToList().ForEach(waiter => waiter.WaitFor(words.Address, value));
                beside[count].Add(Measure());
                words.Write(0, value);
                waiting.ForEach(waiter => isStuck |= !waiter.TrySynchronize(_limit));
            }

        }

        // Not in turn with the others: starting a process takes longer than all of them.
        for (var round = 0; round < Rounds && !isStuck; round += Rounds / 3)
        {
            using var peer = new GpuPeer(rig.Ordinal, WordsIn.Memfd, 1, never.Descriptor);
            Measure();
            besidePeer.Add(Measure());
        }

        waiting.ForEach(waiter => waiter.Dispose());
        if (isStuck)
        {
            return GpuFinding.Answer(Name, isSo: false, $"A stream that waited for nothing did not end within {_limit.TotalSeconds} s beside streams that waited.");
        }

        var median = RatioStatistics.Median(idle);
        var worst = beside.Values.Append(besidePeer).Max(times => RatioStatistics.Median(times) / median);
        return GpuFinding.Answer(
            Name,
            isSo: null,
            $"Beside streams that wait a kernel takes at most {worst:F3} times what it takes alone.",
            [
                new ExtraField("alone_us", median),
                .. beside.Select(pair => new ExtraField($"beside_{pair.Key}_streams", RatioStatistics.Median(pair.Value) / median)),
                new ExtraField("beside_process", RatioStatistics.Median(besidePeer) / median),
            ]);
    }

    private static bool Spin(GpuStream stream)
    {
        var start = Stopwatch.GetTimestamp();
        while (!stream.IsIdle)
        {
            if (Stopwatch.GetElapsedTime(start) > _limit)
            {
                return false;
            }
        }

        return true;
    }
}
