using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Bench.Fragmentation;

/// <summary>What sequences came to that lay as they had grown, or whose order had been restored. Rates in GB/s, medians.</summary>
internal sealed record OrderRow(bool Restored, double MeanRunLength, long ReorderedBlocks, double CopiesPerBlock, double EvictReloadRate, double ScanRate, long Mismatched)
{
    public bool Holds => Mismatched == 0;
}

/// <summary>
/// Sequences that have grown beside each other, a block each in turn, so that no two neighbours of one lie together. They are scanned by a kernel, evicted and reloaded,
/// as they lie and with their order restored, in turn. On the cpu device; every byte is verified.
/// </summary>
internal sealed class ScatteredSequences : IDisposable
{
    private const int Rounds = 9;
    private const int Sequences = 16;
    private const int BlocksEach = 128;
    private const int Tokens = 16;
    private const long Bytes = (long)Sequences * BlocksEach * CachedBlocks.BlockBytes;
    private const long PoolBytes = 3 * Bytes;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceMemory _expected;
    private readonly DeviceMemory _tally;
    private readonly CommandList _commands = new();
    private readonly KvSequence[] _sequences = new KvSequence[Sequences];

    private ScatteredSequences()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = PoolBytes, ColdBytes = 2 * Bytes, CleanAhead = false });
        _model = _cache.RegisterModel("scattered", new KvLayout { Planes = 1, Layers = 1, Heads = 4, HeadDim = 128, TokensPerBlock = Tokens });
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = 1, MaxBatch = Sequences, MaxLayouts = 1 });
        _queue = _device.CreateQueue("client");
        _expected = _device.Allocate(Sequences * StampedSequence.Bytes, MemoryKind.Host, "expected");
        _tally = _device.Allocate(StampTally.Bytes, MemoryKind.Host, "tally");
    }

    /// <summary>Both ways, in turn.</summary>
    public static IReadOnlyList<OrderRow> Run()
    {
        using var sequences = new ScatteredSequences();
        var scattered = new List<OrderRow>();
        var restored = new List<OrderRow>();
        for (var round = 0; round < Rounds; round++)
        {
            scattered.Add(sequences.Measure(restores: false));
            restored.Add(sequences.Measure(restores: true));
        }

        return [Median(scattered), Median(restored)];
    }

    public void Dispose()
    {
        _queue.Dispose();
        _cache.Dispose();
        _expected.Dispose();
        _tally.Dispose();
        _device.Dispose();
    }

    private static OrderRow Median(List<OrderRow> rows) => rows[0] with
    {
        EvictReloadRate = rows.Select(row => row.EvictReloadRate).Order().ElementAt(rows.Count / 2),
        ScanRate = rows.Select(row => row.ScanRate).Order().ElementAt(rows.Count / 2),
        Mismatched = rows.Max(row => row.Mismatched),
    };

    private OrderRow Measure(bool restores)
    {
        for (var i = 0; i < Sequences; i++)
        {
            _sequences[i] = _model.CreateSequence();
        }

        for (var block = 0; block < BlocksEach; block++)
        {
            Step(KernelNames.Stamp, Tokens);
        }

        var before = _cache.GetStatistics();
        for (var moved = restores ? 1 : 0; moved > 0;)
        {
            moved = _sequences.Sum(sequence => sequence.RestoreOrder(_lane));
            Step(kernelName: null, newTokens: 0);
        }

        var laid = _cache.GetStatistics();
        var scan = Time(() => Step(KernelNames.Verify, newTokens: 0));
        var copied = Time(() =>
        {
            Array.ForEach(_sequences, sequence => sequence.Evict(_lane));
            Array.ForEach(_sequences, sequence => sequence.Prefetch(_lane));
            Step(kernelName: null, newTokens: 0);
        });
        var after = _cache.GetStatistics();
        Step(KernelNames.Verify, newTokens: 0);
        Array.ForEach(_sequences, sequence => sequence.Free());
        _cache.Pump();
        var blocks = after.CleanedBlocks - laid.CleanedBlocks + after.ReloadedBlocks - laid.ReloadedBlocks;
        return new OrderRow(
            restores,
            laid.MeanRunLength,
            laid.ReorderedBlocks - before.ReorderedBlocks,
            (double)(after.Copies - laid.Copies) / blocks,
            blocks * (double)CachedBlocks.BlockBytes / copied.TotalSeconds / 1e9,
            Bytes / scan.TotalSeconds / 1e9,
            MemoryMarshal.Read<StampTally>(_tally.HostSpan(0, StampTally.Bytes)).MismatchedGranules);
    }

    private static TimeSpan Time(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start);
    }

    /// <summary>A step over all sequences, ended when this returns.</summary>
    private void Step(string? kernelName, int newTokens)
    {
        var expected = MemoryMarshal.Cast<byte, StampedSequence>(_expected.HostSpan(0, Sequences * StampedSequence.Bytes));
        var batch = new KvStepItem[Sequences];
        for (var i = 0; i < Sequences; i++)
        {
            batch[i] = new KvStepItem(_sequences[i], newTokens);
            expected[i] = new StampedSequence { SequenceId = _sequences[i].Id, TokenCount = (uint)(_sequences[i].TokenCount + newTokens), NewTokens = (uint)newTokens };
        }

        var step = _lane.Begin(batch);
        _commands.Clear();
        if (kernelName is not null)
        {
            _commands.Launch(_device.LoadKernel(kernelName), new StampArguments
            {
                Pool = _cache.PoolAddress,
                PoolBytes = (ulong)PoolBytes,
                Entries = _cache.EntriesAddress,
                Views = step.ViewsAddress(),
                Sequences = _expected.Address,
                Tally = _tally.Address,
                Shape = _model.Shape(),
                Count = Sequences,
            });
        }

        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        if (!_cache.Wait(step.End, _limit) || step.Status != KvStepStatus.Accepted)
        {
            throw new InvalidOperationException($"A step over scattered sequences is {_lane.StatusOf(step.Number)}.");
        }
    }
}
