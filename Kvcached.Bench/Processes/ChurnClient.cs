using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Bench.Processes;

/// <summary>
/// A model process without a model: sequences come, grow, are truncated and go, and every step stamps the tokens that it adds and verifies all that its sequences have.
/// What it does follows from its seed, step by step, so that two runs of a seed do the same. One thread.
/// </summary>
internal sealed class ChurnClient : IDisposable
{
    private const int Depth = 4;
    private const int MaxBatch = 4;
    private const int SlotBytes = MaxBatch * StampedSequence.Bytes;
    private const int MaxTokens = 600;

    private static readonly TimeSpan _stallLimit = TimeSpan.FromSeconds(60);

    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly DeviceQueue _queue;
    private readonly DeviceMemory _expectations;
    private readonly DeviceMemory _tally;
    private readonly DeviceKernel _stamp;
    private readonly DeviceKernel _verify;
    private readonly CommandList _commands = new();
    private readonly ChurnSequence?[] _sequences;
    private readonly (KvStep Step, int[] Slots, int Count)[] _inFlight = new (KvStep, int[], int)[Depth];
    private readonly KvStepItem[] _batch = new KvStepItem[MaxBatch];
    private readonly Random _random;
    private readonly ulong _poolBytes;
    private int _oldest;
    private int _inFlightCount;

    /// <summary>Opens a lane and registers a model whose blocks depend on the seed.</summary>
    public ChurnClient(KvCache cache, long poolBytes, int seed, int sequences)
    {
        _cache = cache;
        _poolBytes = (ulong)poolBytes;
        _random = new Random(seed);
        _sequences = new ChurnSequence?[sequences];
        var granules = 2 << (seed % 3);
        _model = cache.RegisterModel($"churn of {granules} granules", new KvLayout
        {
            Planes = 1,
            Layers = 1,
            Heads = granules,
            HeadDim = KvShape.GranuleBytes,
            ElementType = KvElementType.Byte,
            TokensPerBlock = 16,
        });
        _lane = cache.OpenLane(new KvLaneOptions { Depth = Depth, MaxBatch = MaxBatch });
        _queue = cache.Device.CreateQueue("churn kernels");
        _expectations = cache.Device.Allocate(Depth * (long)SlotBytes, MemoryKind.Host, "churn expectations");
        _tally = cache.Device.Allocate(StampTally.Bytes, MemoryKind.Host, "churn tally");
        _stamp = cache.Device.LoadKernel(KernelNames.Stamp);
        _verify = cache.Device.LoadKernel(KernelNames.Verify);
        for (var i = 0; i < Depth; i++)
        {
            _inFlight[i].Slots = new int[MaxBatch];
        }
    }

    public KvLane Lane => _lane;

    public KvModel Model => _model;

    /// <summary>Told what a step is at: for who kills the process there.</summary>
    public Action<ChurnPhase>? Phase { get; set; }

    /// <summary>A kernel that takes a while, launched behind the others; null for none.</summary>
    public DeviceKernel? Hold { get; set; }

    /// <summary>Steps begun.</summary>
    public long Steps { get; private set; }

    /// <summary>Steps that were refused: others held the room.</summary>
    public long Refused { get; private set; }

    /// <summary>What the kernels have counted. Final once <see cref="Drain"/> has returned.</summary>
    public StampTally Tally => MemoryMarshal.Read<StampTally>(_tally.HostSpan(0, StampTally.Bytes));

    /// <summary>A hash over what every sequence was and held, step by step, as far as the host knows: what a run of the same seed must come to.</summary>
    public ulong Digest { get; private set; } = 14695981039346656037;

    /// <summary>Begins one step of some sequences and enqueues its kernels; frees and truncates now and then.</summary>
    public void Step()
    {
        while (_inFlightCount == Depth)
        {
            Retire();
        }

        Change();
        var count = Choose();
        KvStep step;
        while ((step = _lane.Begin(_batch.AsSpan(0, count))).Status == KvStepStatus.TooManySteps)
        {
            _cache.Pump();
        }

        Phase?.Invoke(ChurnPhase.BetweenBeginAndEnd);
        Enqueue(step, count);
        Phase?.Invoke(ChurnPhase.InFlight);
        Steps++;
    }

    /// <summary>Waits until all steps have ended.</summary>
    public void Drain()
    {
        while (_inFlightCount > 0)
        {
            Retire();
        }
    }

    /// <summary>Frees all sequences.</summary>
    public void FreeAll()
    {
        for (var i = 0; i < _sequences.Length; i++)
        {
            _sequences[i]?.Sequence.Free();
            _sequences[i] = null;
        }
    }

    public void Dispose()
    {
        _queue.Dispose();
        _expectations.Dispose();
        _tally.Dispose();
    }

    private int Place(int n) => (_oldest + n) % Depth;

    /// <summary>What happens to sequences between steps.</summary>
    private void Change()
    {
        var slot = _random.Next(_sequences.Length);
        if (_sequences[slot] is not { } sequence)
        {
            return;
        }

        switch (_random.Next(24))
        {
            case 0 or 1:
                sequence.Sequence.Free();
                _sequences[slot] = null;
                break;
            case 2 when sequence.Version == 0 && sequence.Tokens > 1:
                sequence.Truncate(_random.Next(1, sequence.Tokens));
                break;
            case 3:
                sequence.Sequence.Evict(_lane);
                break;
            case 4:
                sequence.Sequence.Prefetch(_lane);
                break;
        }
    }

    private int Choose()
    {
        var count = _random.Next(1, MaxBatch + 1);
        var first = _random.Next(_sequences.Length);
        var place = _inFlight[Place(_inFlightCount)].Slots;
        for (var i = 0; i < count; i++)
        {
            var slot = (first + i) % _sequences.Length;
            if (_sequences[slot] is { Tokens: > MaxTokens } old)
            {
                old.Sequence.Free();
                _sequences[slot] = null;
            }

            var sequence = _sequences[slot] ??= new ChurnSequence(_model.CreateSequence());
            place[i] = slot;
            _batch[i] = new KvStepItem(sequence.Sequence, _random.Next(1, sequence.Tokens == 0 ? 120 : 12));
        }

        return count;
    }

    private void Enqueue(KvStep step, int count)
    {
        var place = Place(_inFlightCount);
        var expectations = Expectations(place);
        for (var i = 0; i < count; i++)
        {
            var sequence = _sequences[_inFlight[place].Slots[i]]!;
            sequence.Tokens += _batch[i].NewTokens;
            expectations[i] = new StampedSequence
            {
                SequenceId = sequence.Sequence.Id,
                TokenCount = (uint)sequence.Tokens,
                NewTokens = (uint)_batch[i].NewTokens,
                ChangedFrom = sequence.ChangedFrom,
                Version = sequence.Version,
            };
            Digest = (Digest ^ (((ulong)_inFlight[place].Slots[i] << 32) | (uint)sequence.Tokens)) * 1099511628211;
        }

        var arguments = new StampArguments
        {
            Pool = _cache.PoolAddress,
            PoolBytes = _poolBytes,
            Entries = _cache.EntriesAddress,
            Views = step.ViewsAddress(),
            Sequences = _expectations.Address + (ulong)(place * SlotBytes),
            Tally = _tally.Address,
            Shape = _model.Shape(),
            Count = count,
        };
        _commands.Clear();
        _commands.Launch(_stamp, arguments);
        _commands.Launch(_verify, arguments);
        if (Hold is not null)
        {
            _commands.Launch(Hold, 0);
        }

        _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
        (_inFlight[place].Step, _inFlight[place].Count) = (step, count);
        _inFlightCount++;
    }

    private void Retire()
    {
        var (step, slots, count) = _inFlight[_oldest];
        if (!_cache.Wait(step.End, _stallLimit))
        {
            throw new TimeoutException($"Step {step.Number} has not ended within {_stallLimit.TotalSeconds} s: {_lane.StatusOf(step.Number)}.");
        }

        var expectations = Expectations(_oldest);
        for (var i = 0; i < count; i++)
        {
            if (expectations[i].Refused != 0)
            {
                Refused++;
                Drop(slots[i], expectations[i].SequenceId);
            }
        }

        _oldest = Place(1);
        _inFlightCount--;
    }

    /// <summary>A sequence that a step left out is given up.</summary>
    private void Drop(int slot, uint id)
    {
        if (_sequences[slot] is { } sequence && sequence.Sequence.Id == id)
        {
            sequence.Sequence.Free();
            _sequences[slot] = null;
        }
    }

    private Span<StampedSequence> Expectations(int place) => MemoryMarshal.Cast<byte, StampedSequence>(_expectations.HostSpan(place * (long)SlotBytes, SlotBytes));

    private sealed class ChurnSequence(KvSequence sequence)
    {
        public readonly KvSequence Sequence = sequence;
        public int Tokens;
        public uint ChangedFrom = uint.MaxValue;
        public uint Version;

        public void Truncate(int tokens)
        {
            Sequence.Truncate(tokens);
            (Tokens, ChangedFrom, Version) = (tokens, (uint)tokens, 1);
        }
    }
}
