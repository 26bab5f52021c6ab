using System.Text.RegularExpressions;
using Kvcached.Devices;
using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// One program on the simulated device: several clients share a small pool and do everything the engine offers. All that happens follows from
/// the program and its options. Single-threaded; runs of different programs may run side by side.
/// </summary>
public sealed partial class SimulationRun : IDisposable
{
    internal const long UnitBytes = 4096;
    private const long RowUnitBytes = 512;

    /// <summary>So that a tenant that does nothing is idle after 20 operations.</summary>
    private const long MillisecondsPerOperation = TenantTable.IdleAfter / 20;

    private readonly RunOptions _options;
    private readonly SimulatedProgram _program;
    private readonly SimDevice _sim;
    private readonly WaitDroppingDevice _dropping;
    private readonly EngineHost _host;
    private readonly EngineChecks _checks;
    private readonly DeviceKernel _kernel;
    private readonly List<SimulatedClient> _clients = [];
    private readonly List<SimulatedStep> _steps = [];
    private readonly List<SimulatedSequence> _settling = [];
    private readonly SimulationCoverage _coverage = new();
    private readonly BlockCensus _census;
    private readonly RunLengthCheck _runLengths;
    private readonly PresenceChecks _presence;
    private readonly TenantChecks _tenantChecks;
    private readonly LeaseChecks _leases;
    private readonly List<TenantState> _tenants = [];
    private readonly CommandList _commands = new();
    private uint _nextVersion;
    private int _opened;
    private int _planned;
    private int _read;
    private string? _inconclusive;

    private SimulationRun(SimulatedProgram program, RunOptions options)
    {
        _options = options;
        _program = program;
        var setup = program.Setup;
        _sim = new SimDevice(new SimOptions
        {
            Seed = setup.Seed,
            LagObservation = setup.LagsObservation,
            CellBytes = CellBytesOf,
            OwnerOf = OwnerOf,
            Returns = label => setup.GivesLater && label == "pool" ? MemoryReturn.Later : MemoryReturn.AtOnce,
            ForgetsOrder = DroppedOrder.QueueOrdersOf(options.Dropped),
            ForgetsObservation = DroppedOrder.ObservedOf(options.Dropped),
            Trace = options.Trace,
            Kernels = [new StepKernel(step => _steps[(int)step], setup.Tenants.Count > 0), new PageTableKernel(), .. WindowKernel.All],
        });
        _sim.RefusesMemory = setup.RefusesMemory;
        _dropping = new WaitDroppingDevice(_sim, DroppedOrder.WaitsOf(options.Dropped));
        _host = new EngineHost(_dropping, new EngineSizes
        {
            PoolBytes = setup.PoolUnits * UnitBytes,
            PoolFloorBytes = setup.PoolFloorUnits == 0 ? null : setup.PoolFloorUnits * UnitBytes,
            CompactionBytes = setup.CompactionBytes == 0 ? long.MaxValue : setup.CompactionBytes,
            ColdBytes = setup.ColdUnits * UnitBytes,
            TableBytes = setup.TableUnits * RowUnitBytes,
            UnitBytes = UnitBytes,
            RowUnitBytes = RowUnitBytes,
            MaxSequences = ProgramSetup.MaxSequences * setup.Clients.Count * 4,
            CleanAheadBlocks = setup.CleanAheadBlocks,
        });
        _checks = new EngineChecks(_host.Engine);
        _census = new BlockCensus(_host.Engine.State, _coverage);
        _runLengths = new RunLengthCheck(_host.Engine.State);
        _presence = new PresenceChecks(_host.Engine.State, (SimMemory)_host.Pool, _coverage);
        _tenantChecks = new TenantChecks(_host.Engine.State);
        _leases = new LeaseChecks(_host.Engine.State, Lease);
        _kernel = _sim.LoadKernel("step");
    }

    /// <summary>Runs the program that is drawn from the options' seed to its end, or to its first violation.</summary>
    public static SimulationResult Run(SimulationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var result = Run(SimulatedProgram.Draw(options.Seed, options.Operations, options.Clients), options);
        return result.Violation is null ? result : result with { Violation = $"{result.Violation}\nreplay: {options.Replay}" };
    }

    /// <summary>Runs a program to its end, or to its first violation.</summary>
    public static SimulationResult Run(SimulatedProgram program, RunOptions options)
    {
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(options);
        RuleFaults.Activate(Enum.Parse<RuleFault>(options.Fault));
        using var run = new SimulationRun(program, options);
        try
        {
            run.RunProgram();
        }
        catch (SimViolationException exception)
        {
            var violation = exception.Violation;
            return run.Result($"{violation.Kind} {Unnumbered(violation.Memory)}".TrimEnd(), $"{violation.Kind}: {exception.Message}");
        }
        catch (SimFullException exception)
        {
            run._inconclusive = exception.Message;
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            // No operation provokes a typed error: whatever the engine or a check throws is wrong.
            return run.Result($"{exception.GetType().Name} {Unnumbered(exception.Message)}", $"Engine: {exception}");
        }

        return run.Result();
    }

    /// <summary>Gives the simulated memory back.</summary>
    public void Dispose() => _dropping.Dispose();

    /// <summary>More than the longest row has, and the steps that wait behind it.</summary>
    private int MaxPages => (int)(_host.Entries.Bytes / sizeof(uint)) + 64;

    private static int CellBytesOf(string label) => label switch
    {
        "entries" => sizeof(uint),
        "pool" or "cold" => KvShape.GranuleBytes,
        _ => SequenceView.Bytes,
    };

    private static string Unnumbered(string text) => Regex.Replace(text, "[0-9]+", "#");

    private SimulationResult Result(string? kind = null, string? violation = null)
    {
        ref readonly var counters = ref _host.Engine.Counters;
        _coverage.Evicted = counters.EvictedBlocks;
        _coverage.Reloaded = counters.ReloadedBlocks;
        _coverage.Moved = counters.MovedBlocks;
        _coverage.Reordered = counters.ReorderedBlocks;
        _coverage.Compacted = counters.CompactedBlocks;
        _coverage.Cleaned = counters.CleanedBlocks;
        _coverage.RefusedSteps = counters.RefusedSteps;
        _coverage.ScrubbedBytes = counters.BytesScrubbed;
        var units = _host.Engine.State.Pool.Units;
        (_coverage.Arrivals, _coverage.Refusals) = (units.Asked - units.Refused, units.Refused);
        AddWindows(in counters);
        long dropped = 0, implied = 0;
        for (var reason = 0; reason < WaitDroppingDevice.Reasons; reason++)
        {
            dropped += _dropping.Dropped(reason);
            implied += _dropping.Implied(reason);
        }

        DroppedOrder[] orders = [.. DroppedOrder.AllOf(_sim)];
        var lacksNothing = _options.Dropped.Count > 0 && dropped == implied && !_options.Dropped.Any(order => order.Source != OrderSource.Wait && orders.Contains(order));
        return new SimulationResult
        {
            ViolationKind = kind,
            Inconclusive = _inconclusive ?? (lacksNothing ? "the program has none of the orders that were to be dropped" : null),
            Violation = violation,
            TraceHash = _sim.TraceHash,
            Coverage = _coverage,
            Orders = orders,
            DroppedWaits = dropped,
            ImpliedWaits = implied,
            Operations = _planned,
            ReadOperations = _read,
        };
    }

    private SimulatedClient OpenClient(ClientSetup setup)
    {
        var engine = _host.Engine;
        var share = Math.Max(UnitBytes, engine.State.Options.Pool.Bytes / _program.Setup.Clients.Count);
        var state = engine.OpenClient(
            _program.Setup.SharesExceedPool ? share * 2 : share,
            _program.Setup.SharesRows ? engine.State.Options.Entries.Bytes / _program.Setup.Clients.Count : long.MaxValue,
            _tenants.Count == 0 ? null : _tenants[setup.Tenant % _tenants.Count]);
        var shapes = new KvShape[setup.Layouts.Count];
        var windows = new int[shapes.Length];
        for (var i = 0; i < shapes.Length; i++)
        {
            shapes[i] = new KvLayout
            {
                Planes = 1,
                Layers = 1,
                Heads = 1,
                HeadDim = setup.Layouts[i].TokenBytes,
                ElementType = KvElementType.Byte,
                TokensPerBlock = setup.Layouts[i].TokensPerBlock,
                PageTable = setup.HasPageTables,
            }.ToShape();
            windows[i] = setup.Layouts[i].Window;
        }

        var client = new SimulatedClient(state, engine.RegisterModel(state, shapes, windows), shapes.Length, setup);
        foreach (var depth in setup.LaneDepths)
        {
            var lane = _host.OpenLane(state, new KvLaneOptions { Depth = depth, MaxBatch = ProgramSetup.MaxBatch, MaxLayouts = 2, MaxPages = setup.HasPageTables ? MaxPages : 0, Windows = setup.HasWindows });
            // The client's own queue: no wait of the engine's stands on it that could be dropped.
            client.Lanes.Add(new SimulatedLane(lane, _sim.CreateQueue($"lane {lane.Number} compute"), shapes));
        }

        _opened++;
        return client;
    }

    /// <summary>Lanes are opened client by client, so what is made for a lane is the newest client's. Owners are numbered as they come, since numbers of clients come back.</summary>
    private int OwnerOf(string label) => label.StartsWith("lane", StringComparison.Ordinal) ? _opened : SimDevice.Background;

    private void RunProgram()
    {
        foreach (var choice in _program.Setup.Tenants)
        {
            _tenants.Add(_host.Engine.OpenTenant(_program.Setup.LimitsOf(choice, UnitBytes)));
        }

        foreach (var client in _program.Setup.Clients)
        {
            _clients.Add(OpenClient(client));
        }

        if (_options.Log is { } log)
        {
            LogSetup(log);
        }

        foreach (var operation in _program.Operations)
        {
            if (_planned == _program.Limit)
            {
                break;
            }

            _read++;
            RunOperation(operation);
        }

        if (_planned < (_program.Limit ?? 1))
        {
            _inconclusive = $"{_planned} operations were planned of {_read}, fewer than {_program.Limit ?? 1}";
        }

        Finish();
    }

    private void RunOperation(in SimulatedOperation operation)
    {
        _host.Engine.Tick(_read * MillisecondsPerOperation);
        if (!operation.SkipsTurn)
        {
            Turn();
            EndPastLease();
        }

        var client = _clients[operation.Client % _clients.Count];
        var lane = client.Lanes[operation.Lane % client.Lanes.Count];
        LogStart(operation, client, lane);

        // What a lane's depth turns away is no operation, nor what finds no sequence: the engine has planned nothing.
        _tenantChecks.Before(client.State);
        _planned += Do(operation, client, lane) ? 1 : 0;
        _tenantChecks.After();
        Settle();
        if (_checks.Run(_clients))
        {
            _tenantChecks.CheckBooks();
        }

        _presence.Look();
        Stall(operation, client, lane);
        LogEnd(operation);
        if (operation.Slices == SimulatedOperation.UntilIdle)
        {
            _sim.RunUntilIdle();
        }
        else
        {
            _sim.RunSlices(operation.Slices);
        }
    }

    /// <summary>Lets the engine act on what it can observe: it serves steps that wait, and compacts.</summary>
    private void Turn()
    {
        _host.Observe();
        _checks.BeforeTurn();
        _census.BeforeRoomIsMade();
        _tenantChecks.Before(client: null);
        _host.Engine.Turn();
        _tenantChecks.After();
        _census.AfterRoomWasMade();
        _checks.AfterTurn();
        _presence.Look();
        _dying.RemoveAll(client => client.State.Life == ClientLife.Reclaimed);
        Settle();
    }
}
