using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Clean, drop and reload through a cache (A), and bare <c>cuMemcpyAsync</c> of the same bytes between the same memories, by two streams at a time (B). GB/s, both directions.</summary>
internal sealed class GpuEvictReloadSides(GpuRig rig) : EvictReloadSides(new BorrowedDevice(rig.Device), blocksEach: 64)
{
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly GpuStream[] _streams = [new(rig.Context), new(rig.Context)];

    public override double RunB()
    {
        rig.Context.Use();
        var (pool, cold) = (Device.Memory("pool").Address, Device.Memory("cold").Address);
        var start = Stopwatch.GetTimestamp();
        Copy(cold, pool);
        Copy(pool, cold);
        return Array.TrueForAll(_streams, stream => stream.TrySynchronize(_limit))
            ? 2 * Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9
            : throw new InvalidOperationException($"Plain copies are not done after {_limit}.");
    }

    protected override void Dispose(bool disposing)
    {
        Array.ForEach(_streams, stream => stream.Dispose());
        base.Dispose(disposing);
    }

    // Each stream copies every other block out and then in again.
    private void Copy(ulong target, ulong source)
    {
        for (var offset = 0L; offset < Bytes; offset += BlockBytes)
        {
            _streams[offset / BlockBytes % _streams.Length].Copy(target + (ulong)offset, source + (ulong)offset, BlockBytes);
        }
    }
}
