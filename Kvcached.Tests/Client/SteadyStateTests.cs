using System.Diagnostics.Metrics;
using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>What the whole process allocates, and what a listener to all caches hears, is told apart only where no other test runs.</summary>
[CollectionDefinition(nameof(SteadyStateTests), DisableParallelization = true)]
[Collection(nameof(SteadyStateTests))]
public class SteadyStateTests
{
    [Theory]
    [InlineData(0, false)]
    [InlineData(8, false)]
    [InlineData(0, true)]
    public void Steps_that_decode_evict_and_reload_allocate_nothing_with_a_listener_attached(int maxPages, bool hasWindows)
    {
        using var counts = new Counts();

        // A window has a unit to itself: each step's takes that of the one before.
        using var rig = new CacheRig(CacheRig.Layout with { PageTable = maxPages > 0 }, poolUnits: hasWindows ? 2 : 1, coldUnits: 4);
        var lane = rig.OpenLane(maxPages: maxPages, windows: hasWindows);
        var sequences = Enumerable.Range(0, 8).Select(_ => lane.Create()).ToArray();
        foreach (var sequence in sequences.Where(_ => hasWindows))
        {
            sequence.Sequence.OpenWindow();
        }

        foreach (var sequence in sequences)
        {
            lane.Begin(6 * 16, sequence);
            lane.Wait();
        }

        var reloaded = rig.Cache.GetStatistics().ReloadedBlocks;
        var least = long.MaxValue;
        for (var window = 0; window < 20; window++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            for (var step = 0; step < 50; step++)
            {
                var sequence = sequences[step % sequences.Length];
                lane.Begin(1, sequence);
                lane.Wait();
                sequence.Sequence.Truncate(sequence.Tokens - 1);
                sequence.Tokens--;
                sequence.ChangedFrom = (uint)sequence.Tokens;
                _ = rig.Cache.GetStatistics();
            }

            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
            foreach (var sequence in sequences)
            {
                sequence.ChangedFrom = uint.MaxValue;
            }
        }

        lane.ExpectAllRight();
        // Storage grows on demand and the runtime's own threads allocate now and then: a window of 50 steps must be free of both.
        Assert.Equal(0, least);
        Assert.True(rig.Cache.GetStatistics().ReloadedBlocks - reloaded > 1000);
        Assert.True(!hasWindows || rig.Cache.GetStatistics().WindowsDropped > 900, rig.Cache.GetStatistics().ToString());
        Assert.True(counts["kvcached.steps"] > 1000);
    }

    [Fact]
    public void Metrics_report_what_statistics_count()
    {
        using var counts = new Counts();
        using var rig = new CacheRig(coldUnits: 4);
        var lane = rig.OpenLane();
        var sequences = Enumerable.Range(0, 8).Select(_ => lane.Create()).ToArray();
        for (var step = 0; step < 40; step++)
        {
            lane.Begin(step < 8 ? 90 : 1, sequences[step % 8]);
            sequences[step % 8].Sequence.Move(lane.Lane, 1);
            lane.Wait();
        }

        lane.ExpectAllRight();
        Assert.Equal(KvStepStatus.NeverFits, lane.Begin(100_000, lane.Create()));
        rig.Cache.Pump();

        var statistics = rig.Cache.GetStatistics();
        Assert.True(statistics is { Steps: 40, RefusedSteps: 1, EvictedBlocks: > 0, ReloadedBlocks: > 0, MovedBlocks: > 0, HostWaits: 41 }, statistics.ToString());
        Assert.Equal(
            new Dictionary<string, long>
            {
                ["kvcached.steps"] = statistics.Steps,
                ["kvcached.steps.refused"] = statistics.RefusedSteps,
                ["kvcached.steps.busy"] = statistics.BusySteps,
                ["kvcached.blocks.cleaned"] = statistics.CleanedBlocks,
                ["kvcached.blocks.evicted"] = statistics.EvictedBlocks,
                ["kvcached.blocks.reloaded"] = statistics.ReloadedBlocks,
                ["kvcached.blocks.moved"] = statistics.MovedBlocks,
                ["kvcached.blocks.compacted"] = statistics.CompactedBlocks,
                ["kvcached.blocks.reordered"] = statistics.ReorderedBlocks,
                ["kvcached.copies"] = statistics.Copies,
                ["kvcached.transfer.out"] = statistics.BytesOut,
                ["kvcached.transfer.in"] = statistics.BytesIn,
                ["kvcached.transfer.moved"] = statistics.BytesMoved,
                ["kvcached.host_waits"] = statistics.HostWaits,
            }.OrderBy(pair => pair.Key),
            counts.All.OrderBy(pair => pair.Key));
        counts.Observe();
        Assert.InRange(statistics.MeanRunLength, 1.01, statistics.ResidentBlocks);
        Assert.Equal(new Dictionary<string, double> { ["kvcached.blocks.run_length"] = statistics.MeanRunLength }, counts.Gauges);
    }

    /// <summary>Adds up what the counters of the meter report.</summary>
    private sealed class Counts : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly Dictionary<string, long> _counts = [];

        public Counts()
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Kvcached")
                {
                    if (instrument is Counter<long>)
                    {
                        _counts[instrument.Name] = 0;
                    }

                    listener.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => _counts[instrument.Name] += value);
            _listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => Gauges[instrument.Name] = value);
            _listener.Start();
        }

        /// <summary>What gauges read when they were last observed.</summary>
        public Dictionary<string, double> Gauges { get; } = [];

        public IEnumerable<KeyValuePair<string, long>> All => _counts;

        public long this[string name] => _counts[name];

        public void Observe() => _listener.RecordObservableInstruments();

        public void Dispose() => _listener.Dispose();
    }
}
