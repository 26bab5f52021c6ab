using System.Numerics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Tests.Client;
using Xunit;

namespace Kvcached.Tests.Contiguous;

/// <summary>A random program: sequences come and go, open and close windows, grow, are truncated, evicted, moved and compacted; three steps are in flight.</summary>
internal sealed class WindowProgram : IDisposable
{
    private const int MaxBatch = 3;
    private const int Sequences = 10;
    private const int MaxTokens = 240;
    private const int Depth = 3;
    private const int PoolUnits = 20;
    private const int UnitTokens = 64;

    /// <summary>Units of the sequences of a batch, so that it fits beside the one before it.</summary>
    private const int MaxUnits = PoolUnits / 2;

    private readonly Func<IDevice, TimelinePoint, bool> _advance;
    private readonly Action<IDevice> _idle;
    private readonly IDevice _device;
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceKernel _kernel;
    private readonly StagedMemory _expectations;
    private readonly StagedMemory _tally;
    private readonly CommandList _commands = new();
    private readonly Random _random;
    private readonly Subject[] _subjects;
    private readonly Queue<KvStep> _steps = [];

    public WindowProgram(IDevice device, KvCache cache, KvLayout layout, int seed, Func<IDevice, TimelinePoint, bool> advance, Action<IDevice> idle)
    {
        (_device, _cache, _advance, _idle, _random) = (device, cache, advance, idle, new Random(seed));
        _model = _cache.RegisterModel("m", layout);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = Depth, MaxBatch = MaxBatch, MaxLayouts = 1, Windows = true });
        _queue = device.CreateQueue("kernels");
        _kernel = device.LoadKernel(WindowStamps.Name);
        _expectations = new StagedMemory(device, (Depth + 1) * SlotBytes, "expectations");
        _tally = new StagedMemory(device, MaxBatch * 2 * sizeof(long), "tally");
        _subjects = [.. Enumerable.Range(0, Sequences).Select(_ => new Subject(_model.CreateSequence()))];
    }

    public static KvCacheOptions CacheOptions { get; } = new()
    {
        PoolBytes = PoolUnits * KvCacheOptions.UnitBytes,
        ColdBytes = 2 * PoolUnits * KvCacheOptions.UnitBytes,
        TableBytes = 64 << 10,
        MaxSequences = 16,
    };

    public long Right => Tally(0);

    public long Wrong => Tally(1);

    /// <summary>Bytes that windows said they had.</summary>
    public long WindowBytes { get; private set; }

    public KvCacheStatistics Statistics => _cache.GetStatistics();

    private static long SlotBytes => MaxBatch * (Marshal.SizeOf<WindowExpectation>() + (long)MaxTokens);

    public void Run(int steps)
    {
        for (var step = 0; step < steps; step++)
        {
            Disturb(_subjects[_random.Next(Sequences)]);
            Step();
        }

        while (_steps.TryDequeue(out var step))
        {
            Wait(step.End);
        }

        _cache.Pump();
    }

    public void Dispose()
    {
        _queue.Dispose();
        _expectations.Dispose();
        _tally.Dispose();
    }

    private void Disturb(Subject subject)
    {
        switch (_random.Next(10))
        {
            case 0:
                subject.Sequence.Free();
                _subjects[Array.IndexOf(_subjects, subject)] = new Subject(_model.CreateSequence());
                break;
            case 1:
                subject.Truncate(_random.Next(subject.Tokens + 1));
                break;
            case 2:
                subject.Sequence.Evict(_lane);
                break;
            case 3:
                subject.Sequence.Move(_lane, 4);
                break;
            case 4:
                subject.Sequence.Prefetch(_lane);
                break;
            case 5:
                _cache.Compact();
                break;
            default:
                WindowBytes += subject.Toggle(_random.Next(4) > 0);
                break;
        }
    }

    private void Step()
    {
        _random.Shuffle(_subjects);
        var batch = new KvStepItem[1 + _random.Next(MaxBatch)];
        var units = 0;
        for (var i = 0; i < batch.Length; i++)
        {
            var newTokens = _random.Next(Math.Min(40, MaxTokens - _subjects[i].Tokens) + 1);
            units += _subjects[i].UnitsFor(newTokens);
            if (i > 0 && units > MaxUnits)
            {
                Array.Resize(ref batch, i);
                break;
            }

            batch[i] = new KvStepItem(_subjects[i].Sequence, newTokens);
        }

        var step = _lane.Begin(batch);
        while (step.Status == KvStepStatus.TooManySteps)
        {
            // The host may see late what has been reached.
            if (_steps.TryDequeue(out var oldest))
            {
                Wait(oldest.End);
            }

            _cache.Pump();
            step = _lane.Begin(batch);
        }

        Assert.Contains(step.Status, new[] { KvStepStatus.Accepted, KvStepStatus.Busy, KvStepStatus.Pending });
        _steps.Enqueue(step);
        Enqueue(step, batch);
    }

    private void Enqueue(KvStep step, KvStepItem[] batch)
    {
        var slot = (long)(step.Number % (Depth + 1)) * SlotBytes;
        var expectations = MemoryMarshal.Cast<byte, WindowExpectation>(_expectations.Host.HostSpan(slot, MaxBatch * Marshal.SizeOf<WindowExpectation>()));
        for (var i = 0; i < batch.Length; i++)
        {
            var versions = slot + (MaxBatch * Marshal.SizeOf<WindowExpectation>()) + (i * MaxTokens);
            _subjects[i].Append(batch[i].NewTokens).CopyTo(_expectations.Host.HostSpan(versions, MaxTokens));
            expectations[i] = new WindowExpectation
            {
                SequenceId = batch[i].Sequence.Id,
                Tokens = (uint)_subjects[i].Tokens,
                NewTokens = (uint)batch[i].NewTokens,
                HasWindow = _subjects[i].HasWindow ? 1u : 0,
                Versions = _expectations.Address + (ulong)versions,
            };
        }

        var arguments = new WindowStampArguments
        {
            Pool = _cache.PoolAddress,
            PoolBytes = (ulong)CacheOptions.PoolBytes,
            Entries = _cache.EntriesAddress,
            Views = step.ViewsAddress(),
            Windows = step.WindowsAddress(),
            Expectations = _expectations.Address + (ulong)slot,
            Tally = _tally.Address,
            Block = _model.Shape(),
            Window = _model.WindowShape(),
            Batch = batch.Length,
        };
        _commands.Clear();
        _expectations.Upload(_commands, slot, SlotBytes);
        // What the host has counted goes along: a device's memory begins with anything.
        _tally.Upload(_commands, 0, _tally.Host.Bytes);
        _commands.Launch(_kernel, arguments);
        step.StoreWindows(_commands);
        _commands.Launch(_kernel, arguments with { Checks = 1 });
        _tally.Download(_commands);
        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
    }

    /// <summary>Lets the device reach a point: the engine serves a step that is busy once those before it have been observed.</summary>
    private void Wait(TimelinePoint point)
    {
        for (var turn = 0; turn < 1000 && !point.IsReached; turn++)
        {
            _cache.Pump();
            if (_lane.StatusOf(point.Value) != KvStepStatus.Busy)
            {
                Assert.True(_advance(_device, point), $"Step {point.Value} does not end: {_lane.StatusOf(point.Value)}.");
            }
            else
            {
                _idle(_device);
            }
        }

        _cache.Pump();
    }

    private long Tally(int which)
    {
        var words = MemoryMarshal.Cast<byte, long>(_tally.Host.HostSpan(0, MaxBatch * 2 * sizeof(long)));
        var sum = 0L;
        for (var i = which; i < words.Length; i += 2)
        {
            sum += words[i];
        }

        return sum;
    }

    /// <summary>A sequence, and what the host knows of it. A truncate changes the version of what is written from there on.</summary>
    private sealed class Subject(KvSequence sequence)
    {
        private readonly byte[] _versions = new byte[MaxTokens];
        private KvWindow _window;
        private byte _version;

        public KvSequence Sequence => sequence;

        public int Tokens { get; private set; }

        public bool HasWindow { get; private set; }

        public int UnitsFor(int newTokens)
        {
            var units = (Tokens + newTokens + UnitTokens - 1) / UnitTokens;
            return units + (HasWindow ? (int)BitOperations.RoundUpToPowerOf2((uint)units) : 0);
        }

        public void Truncate(int tokens)
        {
            sequence.Truncate(tokens);
            (Tokens, _version) = (tokens, (byte)(_version + 1));
        }

        public ReadOnlySpan<byte> Append(int tokens)
        {
            _versions.AsSpan(Tokens, tokens).Fill(_version);
            Tokens += tokens;
            return _versions;
        }

        /// <summary>Opens or closes the window. Returns the bytes that it had.</summary>
        public long Toggle(bool opens)
        {
            var bytes = HasWindow ? _window.Bytes : 0;
            if (opens && !HasWindow)
            {
                _window = sequence.OpenWindow();
            }
            else if (!opens && HasWindow)
            {
                _window.Close();
            }

            HasWindow = opens;
            return bytes;
        }
    }
}
