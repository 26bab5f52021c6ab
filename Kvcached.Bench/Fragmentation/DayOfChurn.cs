using Kvcached.Bench.Ratios;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Bench.Fragmentation;

/// <summary>The pool at one time of the day. Bytes.</summary>
internal readonly record struct DaySample(double Hours, long Asked, long Held, long Pinned);

/// <summary>What a day came to.</summary>
internal sealed record DayResult(long Requests, long Refused, long RefusedWithRoom, long WrittenBytes, long MovedBytes, IReadOnlyList<DaySample> Samples)
{
    public double MovedFraction => (double)MovedBytes / WrittenBytes;

    public bool Holds => RefusedWithRoom == 0 && MovedFraction < 0.10;
}

/// <summary>
/// A day in virtual time: four layouts share a pool of 1 GiB. Each asks for 10 % to 50 % of it along a sine of two hours' period, the four a quarter
/// period apart, trimmed so that the sum is at most 85 %. Sequences have 64 to 4,096 tokens, log-uniform, and live 1 to 60 minutes; where a layout holds more than it
/// asks for, its oldest end early. There is no cold memory, so room is made by compaction alone. The engine is the real one; the memory is on paper.
/// </summary>
internal sealed class DayOfChurn
{
    private const long PoolBytes = 1L << 30;
    private const int TokensPerBlock = 16;
    private const double TickSeconds = 10;
    private const double DaySeconds = 24 * 3600;
    private const double PeriodSeconds = 2 * 3600;
    private const double MostAsked = 0.85;
    private const int MaxSequences = 65_536;
    private static readonly int[] _blockKiB = [16, 48, 64, 320];
    private readonly PaperDevice _device = new();
    private readonly CacheEngine _engine;
    private readonly ClientState _client;
    private readonly LaneState _lane;
    private readonly List<Tenant> _tenants = [];
    private readonly Random _random;
    private readonly List<DaySample> _samples = [];
    private long _requests;
    private long _refused;
    private long _refusedWithRoom;
    private long _written;

    public DayOfChurn(int seed)
    {
        _random = new Random(seed);
        _engine = PaperEngine.Create(_device, PoolBytes / PaperEngine.BlockBytes, coldBlocks: 0, MaxSequences, compactionBytes: 16 << 20);
        _client = _engine.OpenClient();
        foreach (var kiB in _blockKiB)
        {
            var layout = new KvLayout { Layers = kiB / 16, Heads = 2, HeadDim = 128, TokensPerBlock = TokensPerBlock };
            _tenants.Add(new Tenant(_engine.RegisterModel(_client, [layout.ToShape()], [0]), (long)layout.ToShape().BlockBytes));
        }

        _lane = PaperEngine.OpenLane(_engine, _client, depth: 1, maxBatch: 1);
    }

    public DayResult Run()
    {
        for (var now = 0.0; now < DaySeconds; now += TickSeconds)
        {
            Ask(now);
            foreach (var tenant in _tenants)
            {
                tenant.End(now, Free);
            }

            Turn();
            foreach (var tenant in _tenants)
            {
                Admit(tenant, now);
            }

            Turn();
            if (now % 60 == 0)
            {
                _samples.Add(new DaySample(now / 3600, _tenants.Sum(tenant => tenant.Asked), _tenants.Sum(tenant => tenant.Held), _engine.State.Pool.CarvedBytes));
            }
        }

        return new DayResult(_requests, _refused, _refusedWithRoom, _written, _engine.Counters.BytesMoved, _samples);
    }

    /// <summary>What each asks for at a time.</summary>
    private void Ask(double now)
    {
        var sum = 0.0;
        Span<double> asked = stackalloc double[_blockKiB.Length];
        for (var i = 0; i < asked.Length; i++)
        {
            asked[i] = 0.30 + (0.20 * Math.Sin(2 * Math.PI * ((now / PeriodSeconds) + (i / 4.0))));
            sum += asked[i];
        }

        for (var i = 0; i < asked.Length; i++)
        {
            _tenants[i].Asked = (long)(asked[i] * Math.Min(1, MostAsked / sum) * PoolBytes);
        }
    }

    /// <summary>Begins sequences until the next would be more than what is asked for.</summary>
    private void Admit(Tenant tenant, double now)
    {
        while (true)
        {
            tenant.NextTokens = tenant.NextTokens > 0 ? tenant.NextTokens : (int)Math.Round(64 * Math.Pow(64, _random.NextDouble()));
            var blocks = (tenant.NextTokens + TokensPerBlock - 1) / TokensPerBlock;
            if (tenant.Held + (blocks * tenant.BlockBytes) > tenant.Asked)
            {
                return;
            }

            var handle = _engine.Sequences.Create(_client, tenant.Model);
            _requests++;
            var hasRoom = HasRoomFor(tenant, blocks);
            if (!TryStep(handle, tenant.NextTokens))
            {
                _refused++;
                _refusedWithRoom += hasRoom ? 1 : 0;
                _engine.Sequences.Free(_client, handle);
                return;
            }

            _written += blocks * tenant.BlockBytes;
            tenant.Add(new Live(handle, now + 60 + (_random.NextDouble() * 59 * 60), blocks * tenant.BlockBytes));
            tenant.NextTokens = 0;
        }
    }

    /// <summary>Whether so many more blocks fit, were every layout's blocks moved together.</summary>
    private bool HasRoomFor(Tenant asking, int blocks)
    {
        var units = 0L;
        foreach (var tenant in _tenants)
        {
            var layout = _engine.State.Models[tenant.Model].Layouts[0].PoolLayout;
            var perSegment = _engine.State.Pool.BlocksPerSegment(layout);
            var held = (tenant.Held / tenant.BlockBytes) + (tenant == asking ? blocks : 0);
            units += (held + perSegment - 1) / perSegment << _engine.State.Pool.SegmentOrder(layout);
        }

        return units <= _engine.State.Pool.Units.Count;
    }

    private bool TryStep(SequenceHandle handle, int tokens)
    {
        var status = _engine.Begin(_lane, [new StepRequest(handle, tokens)]);
        var step = _lane.Begun;
        for (var turns = 0; status == KvStepStatus.Busy && turns < 100; turns++)
        {
            Turn();
            status = CacheEngine.StatusOf(_lane, step);
        }

        // The kernels have run.
        _engine.Observe(_lane.EndOf(step).Timeline, step);
        Turn();
        return status == KvStepStatus.Accepted;
    }

    private void Free(Live live) => _engine.Sequences.Free(_client, live.Handle);

    /// <summary>All that was submitted is done, and the engine sees it.</summary>
    private void Turn()
    {
        _device.ObserveAll(_engine, lanes: 1);
        _engine.Turn();
    }

    private readonly record struct Live(SequenceHandle Handle, double EndsAt, long Bytes);

    private sealed class Tenant(int model, long blockBytes)
    {
        private readonly LinkedList<Live> _live = new();

        public int Model => model;

        public long BlockBytes => blockBytes;

        public long Asked { get; set; }

        public long Held { get; private set; }

        /// <summary>Tokens of the sequence that comes next; 0 where none has been drawn.</summary>
        public int NextTokens { get; set; }

        public void Add(Live live)
        {
            _live.AddLast(live);
            Held += live.Bytes;
        }

        public void End(double now, Action<Live> free)
        {
            for (var node = _live.First; node is not null;)
            {
                var next = node.Next;
                if (node.Value.EndsAt <= now || Held > Asked)
                {
                    free(node.Value);
                    Held -= node.Value.Bytes;
                    _live.Remove(node);
                }

                node = next;
            }
        }
    }
}
