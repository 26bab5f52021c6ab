using System.Runtime.InteropServices;
using Kvcached.Daemon.Demo;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Server;
using Xunit;

namespace Kvcached.Tests.Client;

/// <summary>Whose engine a cache has.</summary>
public enum CacheKind
{
    /// <summary>Its own.</summary>
    Embedded,

    /// <summary>A daemon's, on a device of its own and over its socket.</summary>
    Served,
}

/// <summary>A cache on a device, the cpu unless another is opened, whose queues can be held closed, with one model, and lanes whose kernels write and compare every token.</summary>
internal sealed class CacheRig : IDisposable
{
    private readonly IDevice _device;
    private readonly List<PatternLane> _lanes = [];
    private readonly SocketFolder? _folder;
    private readonly TestDaemon? _daemon;

    public CacheRig(KvLayout? layout = null, int poolUnits = 1, int coldUnits = 8, bool cleanAhead = true, int maxSequences = 1024, CacheKind kind = CacheKind.Embedded, Func<IDevice>? open = null)
    {
        _device = (open ?? OpenCpu)();
        Device = new GatedDevice(_device);
        var (poolBytes, coldBytes) = (poolUnits * KvCacheOptions.UnitBytes, coldUnits * KvCacheOptions.UnitBytes);
        if (kind == CacheKind.Served)
        {
            _folder = new SocketFolder();
            _daemon = new TestDaemon(new ServerOptions { Socket = _folder.Socket, PoolBytes = poolBytes, ColdBytes = coldBytes, MaxSequences = maxSequences });
            Cache = _daemon.Connect((CpuDevice)_device);
        }
        else
        {
            Cache = KvCache.OpenEmbedded(Device, new KvCacheOptions { PoolBytes = poolBytes, ColdBytes = coldBytes, CleanAhead = cleanAhead, MaxSequences = maxSequences });
        }

        Model = Cache.RegisterModel("m", layout ?? Layout);
    }

    /// <summary>Blocks of 64 KiB and 16 tokens: 32 in a unit.</summary>
    public static KvLayout Layout { get; } = new() { Planes = 2, Layers = 2, Heads = 2, HeadDim = 256, ElementType = KvElementType.Float16, TokensPerBlock = 16 };

    public static TimeSpan Limit { get; } = TimeSpan.FromSeconds(20);

    public GatedDevice Device { get; }

    public KvCache Cache { get; }

    public KvModel Model { get; }

    public PatternLane OpenLane(int depth = 4, int maxPages = 0, bool windows = false)
    {
        var lane = new PatternLane(this, depth, maxPages, windows);
        _lanes.Add(lane);
        return lane;
    }

    public void Dispose()
    {
        _lanes.ForEach(lane => lane.Dispose());
        Cache.Dispose();
        _daemon?.Dispose();
        _folder?.Dispose();
        Device.Dispose();
        _device.Dispose();
    }

    private static CpuDevice OpenCpu() => new(new CpuDeviceOptions { Workers = 1, Kernels = [PatternKernel.Kernel] });
}

/// <summary>A sequence, and what the host knows of it.</summary>
internal sealed class PatternSequence(KvSequence sequence)
{
    public readonly KvSequence Sequence = sequence;
    public int Tokens;
    public uint ChangedFrom = uint.MaxValue;

    /// <summary>Truncates; what is written from here on differs from what was. Once in a sequence's life.</summary>
    public void Truncate(int tokens)
    {
        Sequence.Truncate(tokens);
        (Tokens, ChangedFrom) = (tokens, (uint)tokens);
    }
}

/// <summary>A lane, and the queue of its kernels. One thread uses it.</summary>
internal sealed class PatternLane : IDisposable
{
    private const int MaxBatch = 8;
    private static readonly int _slotBytes = MaxBatch * Marshal.SizeOf<PatternExpectation>();

    private readonly CacheRig _rig;
    private readonly DeviceQueue _queue;
    private readonly StagedMemory _expectations;
    private readonly StagedMemory _tally;
    private readonly DeviceKernel _kernel;
    private readonly CommandList _commands = new();
    private readonly WaitPoint[] _waits = new WaitPoint[1];
    private readonly KvStepItem[] _batch = new KvStepItem[MaxBatch];

    public PatternLane(CacheRig rig, int depth, int maxPages, bool windows)
    {
        _rig = rig;
        Lane = rig.Cache.OpenLane(new KvLaneOptions { Depth = depth, MaxBatch = MaxBatch, MaxPages = maxPages, Windows = windows });
        _queue = rig.Device.CreateQueue("kernels");
        _expectations = new StagedMemory(rig.Device, (depth + 1) * (long)_slotBytes, "expectations");
        _tally = new StagedMemory(rig.Device, Marshal.SizeOf<PatternTally>(), "tally");
        _kernel = rig.Device.LoadKernel(PatternKernel.Name);
    }

    public KvLane Lane { get; }

    /// <summary>The last step.</summary>
    public KvStep Step { get; private set; }

    public PatternTally Tally => MemoryMarshal.Read<PatternTally>(_tally.Host.HostSpan(0, Marshal.SizeOf<PatternTally>()));

    public PatternSequence Create() => new(_rig.Model.CreateSequence());

    /// <summary>Begins a step and enqueues its kernel.</summary>
    public KvStepStatus Begin(int newTokens, params ReadOnlySpan<PatternSequence> sequences)
    {
        for (var i = 0; i < sequences.Length; i++)
        {
            _batch[i] = new KvStepItem(sequences[i].Sequence, newTokens);
        }

        var step = Lane.Begin(_batch.AsSpan(0, sequences.Length));
        if (step.Status == KvStepStatus.TooManySteps)
        {
            return step.Status;
        }

        Step = step;
        var slot = (long)(step.Number % (ulong)(Lane.Depth + 1)) * _slotBytes;
        var expectations = MemoryMarshal.Cast<byte, PatternExpectation>(_expectations.Host.HostSpan(slot, _slotBytes));
        for (var i = 0; i < sequences.Length; i++)
        {
            sequences[i].Tokens += newTokens;
            expectations[i] = new PatternExpectation
            {
                SequenceId = sequences[i].Sequence.Id,
                Tokens = (uint)sequences[i].Tokens,
                NewTokens = (uint)newTokens,
                ChangedFrom = sequences[i].ChangedFrom,
            };
        }

        _commands.Clear();
        _expectations.Upload(_commands, slot, _slotBytes);
        // What the host has counted goes along: a device's memory begins with anything.
        _tally.Upload(_commands, 0, _tally.Host.Bytes);
        _commands.Launch(_kernel, new PatternArguments
        {
            Pool = _rig.Cache.PoolAddress,
            Entries = _rig.Cache.EntriesAddress,
            Views = step.ViewsAddress(),
            Expectations = _expectations.Address + (ulong)slot,
            Tally = _tally.Address,
            Shape = _rig.Model.Shape(),
            Count = sequences.Length,
        });
        _tally.Download(_commands);
        _waits[0] = new WaitPoint(step.Begin.Timeline, step.Begin.Value);
        _queue.Submit(_waits, _commands, step.End);
        return step.Status;
    }

    /// <summary>Waits for the last step.</summary>
    public void Wait()
    {
        if (!_rig.Cache.Wait(Step.End, CacheRig.Limit))
        {
            Assert.Fail($"Step {Step.Number} has not ended: {Lane.StatusOf(Step.Number)}.");
        }
    }

    /// <summary>All steps have ended, and all that they compared was right.</summary>
    public void ExpectAllRight()
    {
        Wait();
        Assert.Equal((0L, 0L, 0L), (Tally.Wrong, Tally.LostViews, Tally.RefusedViews));
        Assert.True(Tally.Right > 0);
    }

    public void Dispose()
    {
        _queue.Dispose();
        _expectations.Dispose();
        _tally.Dispose();
    }
}
