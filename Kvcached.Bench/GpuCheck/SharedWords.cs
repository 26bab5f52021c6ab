using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Words that two processes hand to and fro by stream memory operations alone, of 64 bits. Do they arrive, and how long does one take there and back?</summary>
internal static class SharedWords
{
    public const int Bytes = 4096;
    private const int Rounds = 100;
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(20);

    public static GpuFinding Memfd(GpuRig rig)
    {
        using var words = new HostWords(rig.Context);
        using var peer = new GpuPeer(rig.Ordinal, WordsIn.Memfd, Rounds, words.Descriptor);
        return Measure("words_on_memfd", rig, words.Address, words.Address);
    }

    public static GpuFinding ReadOnlyMemfd(GpuRig rig)
    {
        using var request = new HostWords(rig.Context);
        using var reply = new HostWords(rig.Context);
        var can = rig.Context.CanRegisterReadOnly ? "The GPU says that it registers read-only memory." : "The GPU says that it does not register read-only memory.";
        try
        {
            using var peer = new GpuPeer(rig.Ordinal, WordsIn.ReadOnlyMemfd, Rounds, request.Descriptor, reply.Descriptor);
            return Measure("words_on_read_only_memfd", rig, request.Address, reply.Address);
        }
        catch (InvalidOperationException e)
        {
            return GpuFinding.Answer("words_on_read_only_memfd", isSo: false, $"{can} {e.Message}");
        }
    }

    public static GpuFinding Vmm(GpuRig rig)
    {
        using var memory = SharedAllocation.Create(rig.Context, Bytes);
        using var stream = new GpuStream(rig.Context);
        stream.Clear(memory.Address, Bytes);
        stream.Synchronize();
        using var peer = new GpuPeer(rig.Ordinal, WordsIn.Vmm, Rounds, memory.Descriptor!);
        return Measure("words_on_vmm", rig, memory.Address, memory.Address);
    }

    private static GpuFinding Measure(string name, GpuRig rig, ulong request, ulong reply)
    {
        using var stream = new GpuStream(rig.Context);
        var times = new List<double>();
        for (var n = 1; n <= Rounds; n++)
        {
            var start = Stopwatch.GetTimestamp();
            stream.Write(request + GpuPeer.RequestAt, (ulong)n);
            stream.WaitFor(reply + GpuPeer.ReplyAt, (ulong)n);
            if (!Spin(stream, start))
            {
                Release(rig, stream, reply);
                return GpuFinding.Answer(name, isSo: false, $"Word {n} did not come back within {_limit.TotalSeconds} s.");
            }

            times.Add(Stopwatch.GetElapsedTime(start).TotalMicroseconds);
        }

        return GpuFinding.Answer(
            name,
            isSo: true,
            $"All of {Rounds} words went to the other process's stream and came back.",
            new ExtraField("there_and_back_us", RatioStatistics.Median(times)),
            new ExtraField("there_and_back_p95_us", RatioStatistics.Percentile(times, 0.95)));
    }

    // Whoever gives the words back would wait with the stream.
    private static void Release(GpuRig rig, GpuStream waiting, ulong reply)
    {
        using var other = new GpuStream(rig.Context);
        other.Write(reply + GpuPeer.ReplyAt, Rounds);
        waiting.TrySynchronize(_limit);
    }

    // Looks without sleeping: what is timed takes microseconds where the two take turns quickly.
    private static bool Spin(GpuStream stream, long start)
    {
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

/// <summary>Words of host memory that the GPU reaches and other processes can map. Owns it.</summary>
internal sealed unsafe class HostWords : IDisposable
{
    private readonly SharedMapping _mapping;
    private readonly Registration _registration;

    public HostWords(CudaContext context)
    {
        _mapping = SharedMapping.Create(SharedWords.Bytes, "words");
        _mapping.Seal(againstWriting: false);
        _registration = new Registration(context, _mapping, isReadOnly: false);
    }

    public SafeFileHandle Descriptor => _mapping.Descriptor;

    public ulong Address => (ulong)_mapping.Address;

    public ulong Read(int at) => Volatile.Read(ref *(ulong*)(_mapping.Address + at));

    public void Write(int at, ulong value) => Volatile.Write(ref *(ulong*)(_mapping.Address + at), value);

    /// <summary>Nothing may wait on a word any more.</summary>
    public void Dispose() => _registration.Dispose();
}
