using System.Text.Json.Serialization;
using Kvcached.Devices;

namespace Kvcached.Protocol;

/// <summary>
/// A control message: one JSON object, told apart by its member <c>type</c>. Requests carry an <c>id</c> that the reply repeats. Descriptors ride along in the
/// order that docs/protocol.md gives. Members that may be left out have setters: the generated reader gives a member with an initializer alone the default of its type.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(HelloMessage), "hello")]
[JsonDerivedType(typeof(WelcomeMessage), "welcome")]
[JsonDerivedType(typeof(MapMessage), "map")]
[JsonDerivedType(typeof(UnmapMessage), "unmap")]
[JsonDerivedType(typeof(ReadyMessage), "ready")]
[JsonDerivedType(typeof(RegisterModelMessage), "registerModel")]
[JsonDerivedType(typeof(ModelMessage), "model")]
[JsonDerivedType(typeof(OpenLaneMessage), "openLane")]
[JsonDerivedType(typeof(LaneMessage), "lane")]
[JsonDerivedType(typeof(GetStatisticsMessage), "getStatistics")]
[JsonDerivedType(typeof(StatisticsMessage), "statistics")]
[JsonDerivedType(typeof(CompactMessage), "compact")]
[JsonDerivedType(typeof(TrimMessage), "trim")]
[JsonDerivedType(typeof(GetStatusMessage), "getStatus")]
[JsonDerivedType(typeof(StatusMessage), "status")]
[JsonDerivedType(typeof(LimitMessage), "limit")]
[JsonDerivedType(typeof(GoodbyeMessage), "goodbye")]
[JsonDerivedType(typeof(OkMessage), "ok")]
[JsonDerivedType(typeof(ErrorMessage), "error")]
internal abstract record ControlMessage
{
    /// <summary>Of a request: chosen by whoever asks. Of a reply: the request's. 0 for what is neither.</summary>
    public long Id { get; set; }
}

/// <summary>The first message: a client attaches, or a tool does that wants no memory (<see cref="Attach"/> false).</summary>
internal sealed record HelloMessage : ControlMessage
{
    public required int Version { get; init; }

    public bool Attach { get; set; } = true;

    public string Tenant { get; set; } = "default";

    public string Name { get; set; } = string.Empty;

    /// <summary>Bytes of the submission ring that the client would like: a power of two.</summary>
    public int RingBytes { get; set; } = 1 << 18;
}

/// <summary>The reply: sizes and places. Descriptors: client area, daemon area, entry heap, the eventfd that wakes the daemon. Map messages follow.</summary>
internal sealed record WelcomeMessage : ControlMessage
{
    public required int Version { get; init; }

    public required string Daemon { get; init; }

    /// <summary>The client's number, never given twice: ids of sequences are best made from it, so that no two clients have the same.</summary>
    public required int Client { get; init; }

    public required int Pid { get; init; }

    public required string Device { get; init; }

    /// <summary>What the pool and the other device memory are, and so which devices can map them.</summary>
    public SharedMemoryKind Memory { get; set; }

    public required long PoolBytes { get; init; }

    public required long EntriesBytes { get; init; }

    /// <summary>Bytes of either ring.</summary>
    public required int RingBytes { get; init; }

    public required int MaxSequences { get; init; }

    public required int MaxLanes { get; init; }

    public required int LeaseMilliseconds { get; init; }

    /// <summary>Extents of the pool that map messages bring next.</summary>
    public required int Extents { get; init; }
}

/// <summary>An extent of the pool. Descriptor: its memory.</summary>
internal sealed record MapMessage : ControlMessage
{
    public required int Extent { get; init; }

    public required long Offset { get; init; }

    public required long Bytes { get; init; }
}

/// <summary>An extent is gone: its addresses may not be used any more.</summary>
internal sealed record UnmapMessage : ControlMessage
{
    public required int Extent { get; init; }
}

/// <summary>The client has mapped what it was given: its rings are read from now on.</summary>
internal sealed record ReadyMessage : ControlMessage;

/// <summary>A model's layouts.</summary>
internal sealed record RegisterModelMessage : ControlMessage
{
    public required string Name { get; init; }

    public required LayoutMessage[] Layouts { get; init; }
}

/// <summary>A layout: the members of <see cref="KvLayout"/>, with its defaults for what is left out.</summary>
internal sealed record LayoutMessage
{
    public int Planes { get; set; } = 2;

    public required int Layers { get; init; }

    public required int Heads { get; init; }

    public required int HeadDim { get; init; }

    public KvElementType ElementType { get; set; } = KvElementType.Float16;

    public int TokensPerBlock { get; set; } = 16;

    public KvAxisOrder AxisOrder { get; set; } = KvAxisOrder.TokenMajor;

    public int WindowTokens { get; set; }

    public bool PageTable { get; set; }

    public static LayoutMessage Of(KvLayout layout) => new()
    {
        Planes = layout.Planes,
        Layers = layout.Layers,
        Heads = layout.Heads,
        HeadDim = layout.HeadDim,
        ElementType = layout.ElementType,
        TokensPerBlock = layout.TokensPerBlock,
        AxisOrder = layout.AxisOrder,
        WindowTokens = layout.WindowTokens,
        PageTable = layout.PageTable,
    };

    public KvLayout ToLayout() => new()
    {
        Planes = Planes,
        Layers = Layers,
        Heads = Heads,
        HeadDim = HeadDim,
        ElementType = ElementType,
        TokensPerBlock = TokensPerBlock,
        AxisOrder = AxisOrder,
        WindowTokens = WindowTokens,
        PageTable = PageTable,
    };
}

/// <summary>The model's number.</summary>
internal sealed record ModelMessage : ControlMessage
{
    public required uint Model { get; init; }

    /// <summary>Strides of each layout, as the table ABI has them.</summary>
    public required ShapeMessage[] Shapes { get; init; }
}

/// <summary>Strides of a layout: the members of <see cref="Kernels.KvShape"/>.</summary>
internal sealed record ShapeMessage(ulong BlockBytes, ulong LayerStride, uint PlaneStride, uint HeadStride, uint TokenStride, uint TokensPerBlockShift, uint PageShift);

/// <summary>A lane's size.</summary>
internal sealed record OpenLaneMessage : ControlMessage
{
    public int Depth { get; set; } = 4;

    public int MaxBatch { get; set; } = 256;

    public int MaxLayouts { get; set; } = 4;

    public int MaxPages { get; set; }

    /// <summary>Address of the pool's byte 0 in the client's process, for a lane with windows: what is published counts from it. 0 for one without.</summary>
    public long PoolAddress { get; set; }
}

/// <summary>The lane. Descriptors: the view ring, then the page tables and the addresses of windows, if it has any.</summary>
internal sealed record LaneMessage : ControlMessage
{
    /// <summary>Its number among the client's lanes; its timelines are the slots of that number.</summary>
    public required uint Lane { get; init; }

    /// <summary>Number of its first step: both timelines stand one below.</summary>
    public required ulong FirstStep { get; init; }

    public required long ViewBytes { get; init; }

    public required long PageTableBytes { get; init; }

    public required long WindowBytes { get; init; }
}

/// <summary>Asks for counters.</summary>
internal sealed record GetStatisticsMessage : ControlMessage;

/// <summary>Counters of the daemon.</summary>
internal sealed record StatisticsMessage : ControlMessage
{
    public required KvCacheStatistics Statistics { get; init; }

    public required long PoolPhysicalBytes { get; init; }
}

/// <summary>Asks for the pool to be compacted.</summary>
internal sealed record CompactMessage : ControlMessage;

/// <summary>Asks for the pool to be compacted, and for what comes free to go back to the system.</summary>
internal sealed record TrimMessage : ControlMessage;

/// <summary>Asks what the daemon knows of its tenants and clients.</summary>
internal sealed record GetStatusMessage : ControlMessage;

/// <summary>What the daemon knows.</summary>
internal sealed record StatusMessage : ControlMessage
{
    public required DaemonStatus Status { get; init; }
}

/// <summary>Changes a tenant's limits; what is left out stays.</summary>
internal sealed record LimitMessage : ControlMessage
{
    public required string Tenant { get; init; }

    public long? MinBytes { get; set; }

    public long? MaxBytes { get; set; }

    public int? Weight { get; set; }
}

/// <summary>From a client: it is done, and none of its kernels runs any more. From the daemon: the client is disconnected, and why.</summary>
internal sealed record GoodbyeMessage : ControlMessage
{
    public string Reason { get; set; } = string.Empty;
}

/// <summary>Done.</summary>
internal sealed record OkMessage : ControlMessage;

/// <summary>Refused; nothing has changed.</summary>
internal sealed record ErrorMessage : ControlMessage
{
    public required KvError Error { get; init; }

    public required string Message { get; init; }
}

/// <summary>How control messages are written.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true,
    AllowOutOfOrderMetadataProperties = true,
    MaxDepth = 16)]
[JsonSerializable(typeof(ControlMessage))]
[JsonSerializable(typeof(DaemonStatus))]
internal sealed partial class ControlJson : JsonSerializerContext;
