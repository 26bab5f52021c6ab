using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// One random program on the simulated device: several clients share a small pool and do everything the engine offers, in an order, with sizes
/// and with an interleaving that follow from the seed. Single-threaded; runs of different seeds may run side by side.
/// </summary>
public sealed partial class SimulationRun : IDisposable
{
    private const long UnitBytes = 4096;
    private const int MaxBatch = 4;
    private const int MaxSequences = 10;

    private readonly SimulationOptions _options;
    private readonly SimDevice _sim;
    private readonly WaitDroppingDevice _dropping;
    private readonly EngineHost _host;
    private readonly EngineChecks _checks;
    private readonly DeviceKernel _kernel;
    private readonly List<SimulatedClient> _clients = [];
    private readonly List<KvShape[]> _shapes = [];
    private readonly List<SimulatedStep> _steps = [];
    private readonly List<SimulatedSequence> _settling = [];
    private readonly SimulationCoverage _coverage = new();
    private readonly CommandList _commands = new();
    private readonly int _burst;
    private readonly ProgramLimits _limits;
    private SimRandom _random;
    private uint _nextVersion;
    private int _operations;
    private SimulatedLane? _stalled;

    private SimulationRun(SimulationOptions options)
    {
        _options = options;
        _random = new SimRandom(options.Seed, stream: 7);
        _sim = new SimDevice(new SimOptions
        {
            Seed = options.Seed,
            LagObservation = _random.OneIn(2),
            CellBytes = CellBytesOf,
            OwnerOf = OwnerOf,
            Trace = options.Trace,
            Kernels = [new StepKernel(step => _steps[(int)step], step => _shapes[step.Lane.State.Client.Number])],
        });
        _dropping = new WaitDroppingDevice(_sim, options.DroppedReason == WaitReason.None ? 0 : 1UL << (int)options.DroppedReason);
        _burst = 1 << _random.Next(7);
        _limits = ProgramLimits.Draw(ref _random);
        _host = new EngineHost(_dropping, new EngineSizes
        {
            PoolBytes = (_limits.HasSmallPool ? options.Clients + _random.Next(2) : 4 + _random.Next(20)) * UnitBytes,
            ColdBytes = _random.Next(8) switch { 0 => 0, < 4 => (2 + _random.Next(6)) * UnitBytes, _ => (4 + _random.Next(44)) * UnitBytes },
            TableBytes = (4 + _random.Next(12)) * 512,
            UnitBytes = UnitBytes,
            RowUnitBytes = 512,
            MaxSequences = MaxSequences * options.Clients * 4,
            CleanAheadBlocks = _random.OneIn(3) ? 0 : 1 + _random.Next(6),
        });
        _checks = new EngineChecks(_host.Engine);
        _kernel = _sim.LoadKernel("step");
        for (var i = 0; i < options.Clients; i++)
        {
            AddClient();
        }
    }

    /// <summary>Runs a program to its end, or to its first violation.</summary>
    public static SimulationResult Run(SimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        RuleFaults.Activate(Enum.Parse<RuleFault>(options.Fault));
        using var run = new SimulationRun(options);
        string? violation = null;
        try
        {
            run.RunProgram();
        }
        catch (SimViolationException exception)
        {
            violation = $"{exception.Violation.Kind}: {exception.Message}";
        }
        catch (Exception exception) when (exception is InvalidOperationException or IndexOutOfRangeException or NullReferenceException or ArgumentException or KvException)
        {
            violation = $"Engine: {exception}";
        }

        return run.Result(violation);
    }

    /// <summary>Gives the simulated memory back.</summary>
    public void Dispose() => _dropping.Dispose();

    private static int CellBytesOf(string label) => label switch
    {
        "entries" => sizeof(uint),
        "pool" or "cold" => KvShape.GranuleBytes,
        _ => SequenceView.Bytes,
    };

    private SimulationResult Result(string? violation)
    {
        ref readonly var counters = ref _host.Engine.Counters;
        _coverage.Evicted = counters.EvictedBlocks;
        _coverage.Reloaded = counters.ReloadedBlocks;
        _coverage.Moved = counters.MovedBlocks;
        _coverage.Cleaned = counters.CleanedBlocks;
        _coverage.RefusedSteps = counters.RefusedSteps;
        long dropped = 0, implied = 0;
        for (var reason = 0; reason < WaitDroppingDevice.Reasons; reason++)
        {
            dropped += _dropping.Dropped(reason);
            implied += _dropping.Implied(reason);
        }

        return new SimulationResult
        {
            Violation = violation is null ? null : $"{violation}\nreplay: {_options.Replay}",
            TraceHash = _sim.TraceHash,
            Coverage = _coverage,
            DroppedWaits = dropped,
            ImpliedWaits = implied,
            Operations = _operations,
        };
    }

    private void AddClient()
    {
        var engine = _host.Engine;
        var share = Math.Max(UnitBytes, engine.State.Options.Pool.Bytes / _options.Clients);
        var state = engine.OpenClient(
            _limits.SharesExceedPool ? share * 2 : share,
            _limits.SharesRows ? engine.State.Options.Entries.Bytes / _options.Clients : long.MaxValue);
        var shapes = new KvShape[1 + _random.Next(2)];
        var windows = new int[shapes.Length];
        for (var i = 0; i < shapes.Length; i++)
        {
            shapes[i] = new KvLayout
            {
                Planes = 1,
                Layers = 1,
                Heads = 1,
                HeadDim = 64 << _random.Next(3),
                ElementType = KvElementType.Byte,
                TokensPerBlock = 1 << (1 + _random.Next(3)),
            }.ToShape();
            windows[i] = _limits.HasSmallPool || _random.OneIn(4) ? 4 + _random.Next(12) : 0;
        }

        if (shapes.Length == 2 && _random.OneIn(4))
        {
            shapes[1] = shapes[0];
        }

        var client = new SimulatedClient(state, engine.RegisterModel(state, shapes, windows), shapes.Length);
        _shapes.Add(shapes);
        for (var lanes = 1 + _random.Next(2); lanes > 0; lanes--)
        {
            var lane = _host.OpenLane(state, new KvLaneOptions { Depth = 1 + _random.Next(4), MaxBatch = MaxBatch, MaxLayouts = 2 });
            // The client's own queue: no wait of the engine's stands on it that could be dropped.
            client.Lanes.Add(new SimulatedLane(lane, _sim.CreateQueue($"lane {lane.Number} compute")));
        }

        _clients.Add(client);
    }

    /// <summary>Lanes are opened client by client, so what is made for a lane is the newest client's.</summary>
    private int OwnerOf(string label) => label.StartsWith("lane", StringComparison.Ordinal) ? _clients.Count : SimDevice.Background;

    private void RunProgram()
    {
        while (_operations < _options.Operations)
        {
            if (!_random.OneIn(4))
            {
                _host.Turn();
                Settle();
            }

            // What a lane's depth turns away is no operation: the engine has planned nothing.
            _operations += RunOperation(_clients[_random.Next(_clients.Count)]) ? 1 : 0;
            Settle();
            _checks.Run(_clients);
            RunDevice();
        }

        Finish();
    }

    private void RunDevice()
    {
        if (_random.OneIn(97))
        {
            SwitchStall();
        }

        switch (_random.Next(8))
        {
            case < 3:
                break;
            case 7 when _random.OneIn(8):
                _sim.RunUntilIdle();
                break;
            default:
                _sim.RunSlices(_random.Next(_burst + 1));
                break;
        }
    }

    /// <summary>Holds a lane's kernels for a while: a client that has stalled.</summary>
    private void SwitchStall()
    {
        if (_stalled is not null)
        {
            _sim.Resume(_stalled.Queue);
            _stalled = null;
            return;
        }

        var client = _clients[_random.Next(_clients.Count)];
        _stalled = client.Lanes[_random.Next(client.Lanes.Count)];
        _sim.Stall(_stalled.Queue);
    }

    /// <summary>Lets everything end, then checks that all steps were served, all waits met, and nothing is left.</summary>
    private void Finish()
    {
        if (_stalled is not null)
        {
            SwitchStall();
        }

        for (var i = 0; i < 64; i++)
        {
            _sim.RunUntilIdle();
            _host.Turn();
            Settle();
        }

        foreach (var client in _clients)
        {
            foreach (var lane in client.Lanes)
            {
                if (_sim.Pending(lane.Queue) != 0 || lane.State.HasWaiting || lane.State.HasLive)
                {
                    throw new InvalidOperationException($"Lane {lane.State.Number} is stuck: begun {lane.State.Begun}, planned {lane.State.Planned}, ended {lane.State.Ended}, on its queue {_sim.Pending(lane.Queue)}.");
                }
            }

            foreach (var sequence in client.Sequences)
            {
                _host.Engine.Sequences.Free(client.State, sequence.Handle);
            }
        }

        for (var i = 0; i < 16; i++)
        {
            _sim.RunUntilIdle();
            _host.Turn();
        }

        CheckEmpty("pool", _host.Engine.State.Pool);
        CheckEmpty("cold tier", _host.Engine.State.Cold.Pool);
        CheckEmpty("entry heap", _host.Engine.State.Rows.Pool);
        foreach (var client in _clients)
        {
            if (client.State.LiveBytes != 0 || client.State.LiveRowBytes != 0)
            {
                throw new InvalidOperationException($"Client {client.State.Number} pins {client.State.LiveBytes} bytes and {client.State.LiveRowBytes} of rows when all has ended.");
            }
        }
    }

    private static void CheckEmpty(string name, BlockPool pool)
    {
        if (pool.UsedBlocks != 0 || pool.UsedBytes != 0 || pool.HasPending)
        {
            throw new InvalidOperationException($"The {name} leaks: {pool.UsedBlocks} blocks, {pool.UsedBytes} bytes in use, {pool.PendingCount} pending when all has ended.");
        }
    }
}
