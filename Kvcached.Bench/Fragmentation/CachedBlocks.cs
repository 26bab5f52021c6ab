using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Bench.Fragmentation;

/// <summary>
/// A cache on the cpu device that holds sequences of one block each, every token stamped by a kernel, so that each block can be freed by itself and
/// what is left can be verified.
/// </summary>
internal sealed class CachedBlocks : IDisposable
{
    public const int BlockBytes = 16 << 10;
    private const int Batch = 256;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CpuDevice _device;
    private readonly EmbeddedCache _cache;
    private readonly long _poolBytes;
    private readonly KvLane _lane;
    private readonly KvShape _shape;
    private readonly DeviceQueue _queue;
    private readonly DeviceMemory _expected;
    private readonly DeviceMemory _tally;
    private readonly CommandList _commands = new();
    private readonly List<KvSequence> _sequences = [];

    public CachedBlocks(int blocks, long floorBytes)
    {
        _poolBytes = (long)blocks * BlockBytes;
        _device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        _cache = (EmbeddedCache)KvCache.OpenEmbedded(_device, new KvCacheOptions
        {
            PoolBytes = _poolBytes,
            PoolFloorBytes = floorBytes,
            ColdBytes = 0,
            TableBytes = (long)blocks * 128,
        });
        var model = _cache.RegisterModel("cached", new KvLayout { Planes = 1, Layers = 1, Heads = 4, HeadDim = 128, TokensPerBlock = 16 });
        _shape = model.Shape(0);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = 1, MaxBatch = Batch, MaxLayouts = 1 });
        _queue = _device.CreateQueue("client");
        _expected = _device.Allocate(Batch * StampedSequence.Bytes, MemoryKind.Host, "expected");
        _tally = _device.Allocate(StampTally.Bytes, MemoryKind.Host, "tally");
        for (var i = 0; i < blocks; i++)
        {
            _sequences.Add(model.CreateSequence());
        }

        Step(KernelNames.Stamp, newTokens: (int)_shape.TokensPerBlock);
    }

    public KvCacheStatistics Statistics => _cache.GetStatistics();

    public long PhysicalBytes => _cache.PoolPhysicalBytes;

    public long HeldBytes => (long)_sequences.Count * BlockBytes;

    /// <summary>Frees all blocks but some.</summary>
    public void Retain(Func<int, bool> isRetained)
    {
        for (var i = 0; i < _sequences.Count; i++)
        {
            if (!isRetained(i))
            {
                _sequences[i].Free();
            }
        }

        var kept = _sequences.Where((_, i) => isRetained(i)).ToList();
        _sequences.Clear();
        _sequences.AddRange(kept);
        Settle();
    }

    /// <summary>Compacts and trims, and waits until that has been done.</summary>
    public void Trim()
    {
        _cache.Trim();
        Settle();
    }

    /// <summary>Reads every block that is left through the table. Returns the granules that are not as they were written.</summary>
    public long Verify()
    {
        Step(KernelNames.Verify, newTokens: 0);
        return MemoryMarshal.Read<StampTally>(_tally.HostSpan(0, StampTally.Bytes)).MismatchedGranules;
    }

    public void Dispose()
    {
        _queue.Dispose();
        _cache.Dispose();
        _expected.Dispose();
        _tally.Dispose();
        _device.Dispose();
    }

    /// <summary>Turns until all that was asked for has been done, however long the machine takes for it.</summary>
    private void Settle()
    {
        var started = Stopwatch.GetTimestamp();
        for (_cache.Pump(); !_cache.IsIdle; _cache.Pump())
        {
            if (Stopwatch.GetElapsedTime(started) > _limit)
            {
                throw new InvalidOperationException($"The cache has not come to rest within {_limit.TotalSeconds} s.");
            }

            Thread.Sleep(1);
        }
    }

    private void Step(string kernelName, int newTokens)
    {
        var kernel = _device.LoadKernel(kernelName);
        foreach (var chunk in _sequences.Chunk(Batch))
        {
            var expected = MemoryMarshal.Cast<byte, StampedSequence>(_expected.HostSpan(0, chunk.Length * StampedSequence.Bytes));
            var batch = new KvStepItem[chunk.Length];
            for (var i = 0; i < chunk.Length; i++)
            {
                batch[i] = new KvStepItem(chunk[i], newTokens);
                expected[i] = new StampedSequence { SequenceId = chunk[i].Id, TokenCount = _shape.TokensPerBlock, NewTokens = (uint)newTokens };
            }

            var step = _lane.Begin(batch);
            _commands.Clear();
            _commands.Launch(kernel, new StampArguments
            {
                Pool = _cache.PoolAddress,
                PoolBytes = (ulong)_poolBytes,
                Entries = _cache.EntriesAddress,
                Views = step.ViewsAddress(),
                Sequences = _expected.Address,
                Tally = _tally.Address,
                Shape = _shape,
                Count = chunk.Length,
            });
            _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
            if (!_cache.Wait(step.End, _limit) || step.Status != KvStepStatus.Accepted)
            {
                throw new InvalidOperationException($"A step over cached blocks is {_lane.StatusOf(step.Number)}.");
            }
        }
    }
}
