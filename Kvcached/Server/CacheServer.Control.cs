using System.Reflection;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Protocol;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Server;

// What control messages ask for. All of this runs on the server's thread, but for what never changes and what says otherwise.
internal sealed partial class CacheServer
{
    private static readonly string _name = $"kvcached {Assembly.GetExecutingAssembly().GetName().Version?.ToString(3)}";

    public long PoolBytes => _options.PoolBytes;

    public SafeFileHandle PoolDescriptor => _device.DescriptorOf(_host.Pool);

    public SafeFileHandle EntriesDescriptor => _device.DescriptorOf(_host.Entries);

    public WelcomeMessage Welcome(ClientSession session, long id) => new()
    {
        Id = id,
        Version = ControlFrame.Version,
        Daemon = _name,
        Client = session.Identity.Number,
        Pid = Environment.ProcessId,
        Device = _device.Name,
        Memory = _device.SharedMemory,
        PoolBytes = _options.PoolBytes,
        EntriesBytes = _options.TableBytes,
        RingBytes = session.Areas.RingBytes,
        MaxSequences = _options.MaxSequences,
        MaxLanes = _options.MaxLanes,
        LeaseMilliseconds = (int)_options.Lease.TotalMilliseconds,
        Extents = 1,
    };

    /// <summary>Registers a client's model.</summary>
    /// <exception cref="KvException">A layout is out of range, or the client has as many models as it may.</exception>
    public ModelMessage RegisterModel(ClientSession session, RegisterModelMessage request)
    {
        KvCacheOptions.Check("layouts", request.Layouts.Length, 1, KvModel.MaxLayouts, 1);
        KvCacheOptions.Check("models", session.Models + 1, 1, ServerOptions.MaxModels, 1);
        var layouts = Array.ConvertAll(request.Layouts, layout => (layout ?? throw new KvException(KvError.InvalidArgument, "A layout is null.")).ToLayout());
        var shapes = Array.ConvertAll(layouts, layout => layout.ToShape());

        // Windows have layouts of their own: as many for each tenant as runs of the pool have sizes.
        var state = _host.Engine.State;
        var added = shapes.Select(shape => (long)shape.BlockBytes).Distinct().Count(bytes => !state.Pool.HasLayout(bytes, session.Client.Tenant.Number));
        KvCacheOptions.Check("block sizes of all tenants", state.Pool.Layouts - state.WindowLayouts + added, 0, ServerOptions.MaxPoolLayouts, 1);
        var model = _host.Engine.RegisterModel(session.Client, shapes, KvLayout.WindowsOf(layouts));
        return new ModelMessage
        {
            Id = request.Id,
            Model = session.AddModel(model),
            Shapes = [.. shapes.Select(shape => new ShapeMessage(shape.BlockBytes, shape.LayerStride, shape.PlaneStride, shape.HeadStride, shape.TokenStride, shape.TokensPerBlockShift, shape.PageShift))],
        };
    }

    /// <summary>Opens a lane of a client. Any thread.</summary>
    /// <param name="find">The client, on the server's thread: throws if it has been disconnected.</param>
    /// <param name="request">What the lane is to be.</param>
    /// <exception cref="KvException">A size is out of range, or the client has as many lanes as it may.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public async Task<(LaneMessage Lane, SafeHandle[] Descriptors)> OpenLaneAsync(Func<ClientSession> find, OpenLaneMessage request)
    {
        var options = new KvLaneOptions { Depth = request.Depth, MaxBatch = request.MaxBatch, MaxLayouts = request.MaxLayouts, MaxPages = request.MaxPages, Windows = request.PoolAddress != 0 };
        var client = await PostAsync(() => CheckLane(find(), options, request.PoolAddress)).ConfigureAwait(false);
        return await MakeAsync(
            () => _host.MakeLane($"a lane of client {client}", options, (ulong)request.PoolAddress),
            made => OpenLane(find, made, request.Id)).ConfigureAwait(false);
    }

    public void Compact() => _host.Engine.Compact();

    public void Trim() => _host.Engine.Trim();

    /// <summary>Changes limits of a tenant.</summary>
    /// <exception cref="KvException">A limit is out of range; the message names it.</exception>
    public void Limit(LimitMessage request) => _tenants.SetLimits(request.Tenant, request.MinBytes, request.MaxBytes, request.Weight);

    public StatisticsMessage Statistics(long id) => new() { Id = id, Statistics = _host.ReadStatistics(), PoolPhysicalBytes = _host.Pool.PhysicalBytes };

    public StatusMessage Status(long id)
    {
        _host.Engine.CountShares();
        return new StatusMessage
        {
            Id = id,
            Status = new DaemonStatus
            {
                Pid = Environment.ProcessId,
                Device = _device.Name,
                UptimeSeconds = Now / 1e3,
                PoolBytes = _options.PoolBytes,
                ColdCapacityBytes = _options.ColdBytes,
                Totals = _host.ReadStatistics(),
                PoolPhysicalBytes = _host.Pool.PhysicalBytes,
                Tenants = [.. _tenants.All.Select(Describe)],
                Clients = [.. _sessions.Select(Describe)],
            },
        };
    }

    private int CheckLane(ClientSession session, KvLaneOptions options, long poolAddress)
    {
        KvCacheOptions.Check("lanes", session.Lanes.Count + 1, 1, _options.MaxLanes, 1);
        options.Validate();
        session.CheckLane(options);
        KvCacheOptions.Check("Depth × MaxBatch × MaxLayouts", (long)options.Depth * options.MaxBatch * options.MaxLayouts, 1, ServerOptions.MaxLaneViews, 1);
        KvCacheOptions.Check("bytes of page tables", options.MaxPages == 0 ? 0 : PageTableRing.BytesOf(options), 0, ServerOptions.MaxPageTableBytes, 1);
        KvCacheOptions.Check("poolAddress", poolAddress, 0, long.MaxValue - _options.PoolBytes, Environment.SystemPageSize);
        _host.Engine.ThrowIfNoLane(session.Client);
        return session.Identity.Number;
    }

    private (LaneMessage Lane, SafeHandle[] Descriptors) OpenLane(Func<ClientSession> find, HostLane made, long id)
    {
        ClientSession session;
        DeviceTimeline begin, end;
        try
        {
            session = find();
            _host.Engine.ThrowIfNoLane(session.Client);
            (begin, end) = session.Areas.CreateTimelines(session.Lanes.Count, _host.Engine.NextLaneReached(TimelineKind.Begin), _host.Engine.NextLaneReached(TimelineKind.End));
        }
        catch
        {
            _service.Post(made.Dispose);
            throw;
        }

        var lane = _host.OpenLane(session.Client, made, begin, end);
        session.AddLane(lane);
        var message = new LaneMessage
        {
            Id = id,
            Lane = (uint)session.Lanes.Count - 1,
            FirstStep = lane.Begun + 1,
            ViewBytes = lane.ViewRing.Bytes,
            PageTableBytes = lane.PageTables?.Memory.Bytes ?? 0,
            WindowBytes = lane.Windows?.Memory.Bytes ?? 0,
        };
        DeviceMemory?[] shared = [lane.ViewRing, lane.PageTables?.Memory, lane.Windows?.Memory];
        return (message, [.. shared.OfType<DeviceMemory>().Select(_device.DescriptorOf)]);
    }

    private static TenantStatus Describe(RegisteredTenant tenant)
    {
        var state = tenant.State;
        return new TenantStatus
        {
            Name = tenant.Name,
            MinBytes = state.Limits.MinBytes,
            MaxBytes = state.Limits.MaxBytes == long.MaxValue ? null : state.Limits.MaxBytes,
            Weight = state.Limits.Weight,
            ShareBytes = state.Share,
            ResidentBytes = state.ResidentBytes,
            CleanBytes = state.CleanBytes,
            ColdBytes = state.ColdBytes,
            Steps = state.Counters.Steps,
            CleanedBlocks = state.Counters.CleanedBlocks,
            EvictedBlocks = state.Counters.EvictedBlocks,
            ReloadedBlocks = state.Counters.ReloadedBlocks,
            StepMedianMicroseconds = tenant.Latencies.Quantile(0.5),
            StepSlowMicroseconds = tenant.Latencies.Quantile(0.99),
        };
    }

    private static ClientStatus Describe(ClientSession session) => new()
    {
        Number = session.Identity.Number,
        Name = session.Identity.Name,
        Tenant = session.Identity.Tenant,
        Pid = session.Identity.Pid,
        State = session.Client.Life switch
        {
            Engine.ClientLife.Alive => "serving",
            Engine.ClientLife.Condemned => "condemned",
            _ => "gone",
        },
        Lanes = session.Lanes.Count,
        Sequences = session.Sequences,
        PinnedBytes = session.Client.LiveBytes,
    };
}
