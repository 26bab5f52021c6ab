using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached.Engine;

// Who there is: tenants, clients, models and lanes come and go.
internal sealed partial class CacheEngine
{
    /// <summary>Opens a tenant.</summary>
    /// <exception cref="KvException">The limits contradict each other, or those of other tenants leave too little of the pool.</exception>
    public TenantState OpenTenant(TenantLimits limits) => State.Tenants.Open(limits);

    /// <summary>Changes what a tenant may have. Where it holds more than that, it gives up idle blocks by turns to come, or as others need them.</summary>
    /// <exception cref="KvException">The limits contradict each other, or those of other tenants leave too little of the pool.</exception>
    public void SetLimits(TenantState tenant, TenantLimits limits)
    {
        State.Tenants.SetLimits(tenant, limits);
        State.Pool.Units.AskAgain();
    }

    /// <summary>Closes a tenant; its number is used again.</summary>
    /// <exception cref="KvException">It has clients, or holds something.</exception>
    public void CloseTenant(TenantState tenant) => State.Tenants.Close(tenant);

    /// <summary>Opens a client of a tenant, or of the default one, whose live steps may pin so many bytes of the pool, and of the entry heap.</summary>
    public ClientState OpenClient(long maxPinnedBytes = long.MaxValue, long maxPinnedRowBytes = long.MaxValue, TenantState? tenant = null)
    {
        var client = new ClientState(State.Clients.Next, tenant ?? State.Tenants.Default, maxPinnedBytes, maxPinnedRowBytes);
        State.Clients.Add(client);
        return client;
    }

    /// <summary>
    /// A client has died, or is to be done with: no more commands of it are accepted, and its steps that wait are dropped. Nothing is freed, and its live
    /// steps stay live, until <see cref="ProveGone"/>. Does nothing to one that has been condemned.
    /// </summary>
    public void Condemn(ClientState client) => _deaths.Condemn(client);

    /// <summary>
    /// Whether a client holds a step for longer than a lease, in milliseconds of the host's clock (I11): it is to be condemned. Look at times that are close together, compared with the lease.
    /// </summary>
    public bool IsPastLease(ClientState client, long lease)
    {
        var isPast = false;
        foreach (var lane in client.Lanes)
        {
            isPast |= lane.Lease.Look(lane, State.Timelines, State.Tenants.Now) > lease;
        }

        return isPast;
    }

    /// <summary>
    /// The host has proved that no kernel of a client writes any more, and from now on signals the end of each of its steps in its place, once that has begun. Condemns the client, if it has not
    /// been. Turns to come reclaim all that it has, once its steps and transfers are over: <see cref="ClientState.Life"/> tells, and <see cref="ISubmitter.Close"/> is called for each lane.
    /// </summary>
    public void ProveGone(ClientState client) => _deaths.ProveGone(client);

    /// <summary>Registers a model: a pool layout for each block size that is new.</summary>
    /// <exception cref="KvException">A block does not fit the pool, or the client has been condemned.</exception>
    public int RegisterModel(ClientState client, ReadOnlySpan<KvShape> shapes, ReadOnlySpan<int> windows)
    {
        client.ThrowIfCondemned();
        foreach (var shape in shapes)
        {
            if ((long)shape.BlockBytes > State.Options.Pool.Bytes)
            {
                throw new KvException(KvError.InvalidArgument, $"A block has {shape.BlockBytes} bytes; the pool has {State.Options.Pool.Bytes}.");
            }
        }

        var layouts = new ModelLayout[shapes.Length];
        for (var i = 0; i < shapes.Length; i++)
        {
            var pool = State.Pool.AddLayout((long)shapes[i].BlockBytes, client.Tenant.Number);
            if (pool < 0)
            {
                throw new KvException(KvError.InvalidArgument, $"No segment for blocks of {shapes[i].BlockBytes} bytes fits the pool of {State.Options.Pool.Bytes}.");
            }

            var cold = State.Cold.Memory is null ? -1 : State.Cold.Pool.AddLayout((long)shapes[i].BlockBytes);
            layouts[i] = new ModelLayout(shapes[i], windows[i], pool, cold);
        }

        var number = State.Models.Next;
        State.Models.Add(new ModelState(client.Number, layouts));
        return number;
    }

    /// <summary>Number that the next lane will have: its queues and timelines are made before it.</summary>
    public int NextLane => State.Lanes.Next;

    /// <summary>What a timeline of the next lane must have reached from the start: the last value of the lane that had the number before, or 0.</summary>
    public ulong NextLaneReached(TimelineKind kind)
    {
        State.Timelines.EnsureLane(NextLane);
        return RuleFaults.Is(RuleFault.ReusedLaneBeginsAtZero) ? 0 : State.Timelines.Observed(Point.TimelineOf(NextLane, kind));
    }

    /// <summary>Asked before anything is made for a lane.</summary>
    /// <exception cref="KvException">The client can have no lane: it has been condemned, or there are no more numbers.</exception>
    public void ThrowIfNoLane(ClientState client)
    {
        client.ThrowIfCondemned();
        if (NextLane > Point.MaxLane)
        {
            throw new KvException(KvError.CapacityExceeded, $"There are {Point.MaxLane} lanes, which is the limit.");
        }
    }

    /// <summary>Opens a lane. Its first step is one more than what <see cref="NextLaneReached"/> told of Begin.</summary>
    /// <exception cref="KvException">The client has been condemned, or there are no more numbers.</exception>
    public LaneState OpenLane(ClientState client, LaneMemory memory)
    {
        ThrowIfNoLane(client);
        State.Timelines.EnsureLane(NextLane);
        var lane = new LaneState(NextLane, client, memory, State.Timelines);
        State.Pool.EnsureLane(lane.Number);
        State.Rows.Pool.EnsureLane(lane.Number);
        State.Cold.Pool.EnsureLane(lane.Number);
        State.Lanes.Add(lane);
        client.Lanes.Add(lane);
        return lane;
    }
}
