using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Protocol;
using Kvcached.Sequences;

namespace Kvcached;

/// <summary>
/// A cache that a daemon has, used by this process beside others: commands go through a ring, kernels run here on the pool that all share. Nothing here waits for the
/// daemon but what has to return its answer: opening things, statistics, transfers that are counted, and the bytes of windows.
/// </summary>
internal sealed partial class RemoteCache : KvCache
{
    /// <summary>Ids of sequences that are a client's own before they meet another's.</summary>
    private const int ClientIdShift = 20;

    private readonly Lock _lock = new();
    private readonly DaemonLink _link;
    private readonly RemoteSequences _sequences;
    private readonly List<RemoteLane> _lanes = [];
    private readonly List<RemoteModel> _models = [];

    /// <summary>What the daemon tells is short.</summary>
    private readonly byte[] _record = new byte[64];
    private ulong _batches;
    private ulong _tickets;
    private TicketRecord _answer;
    private bool _closed;

    public RemoteCache(ISharingDevice device, DaemonLink link)
        : base(device)
    {
        _link = link;
        _sequences = new RemoteSequences(link.Welcome.MaxSequences, firstId: ((uint)link.Welcome.Client << ClientIdShift) + 1);
    }

    /// <summary>What lies between the cache and its daemon.</summary>
    internal DaemonLink Link => _link;

    public override long PoolPhysicalBytes => Ask<StatisticsMessage>(new GetStatisticsMessage()).PoolPhysicalBytes;

    public override ulong EntriesAddress => _link.Entries.Address;

    public override ulong PoolAddress => _link.Pool.Address;

    public override void Pump()
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _link.ThrowIfLost();
            ReadAnswers();
        }
    }

    public override void Compact() => Ask<OkMessage>(new CompactMessage());

    public override void Trim() => Ask<OkMessage>(new TrimMessage());

    public override KvCacheStatistics GetStatistics() => Ask<StatisticsMessage>(new GetStatisticsMessage()).Statistics with { HostWaits = HostWaits };

    /// <summary>What has become of a step, as far as the daemon has told.</summary>
    public KvStepStatus StatusOf(RemoteLane lane, ulong number)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            ReadAnswers();
            return lane.Find(number)?.Status ?? KvStepStatus.Unknown;
        }
    }

    public bool HasPageTable(RemoteLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return ShapeOf(FindStep(lane, number), layout).PageShift != 0;
        }
    }

    /// <summary>What the kernel needs to know that copies from windows to blocks of a step, but for where the windows lie.</summary>
    public WindowArguments WindowArguments(RemoteLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            var step = FindStep(lane, number);
            var shape = ShapeOf(step, layout);
            return new WindowArguments
            {
                Views = lane.ViewsAddress(number, layout),
                Entries = EntriesAddress,
                Pool = PoolAddress,
                Block = shape,
                Window = WindowShape.Of(shape),
                Batch = (uint)step.Count,
            };
        }
    }

    internal override int RegisterModel(string name, KvLayout[] layouts, KvShape[] shapes)
    {
        var reply = Ask<ModelMessage>(new RegisterModelMessage { Name = name, Layouts = Array.ConvertAll(layouts, LayoutMessage.Of) });
        lock (_lock)
        {
            while (_models.Count <= (int)reply.Model)
            {
                _models.Add(default);
            }

            _models[(int)reply.Model] = new RemoteModel(shapes, KvLayout.WindowsOf(layouts));
        }

        return (int)reply.Model;
    }

    private protected override KvLane OpenLaneCore(KvLaneOptions options)
    {
        var storeWindows = options.Windows ? Device.LoadKernel(KernelNames.StoreWindows) : null;
        lock (_lock)
        {
            ThrowIfClosed();
            var (reply, memory) = _link.OpenLane(options);
            var lane = new RemoteLane(this, reply.Lane, options, reply.FirstStep, memory, storeWindows);
            _lanes.Add(lane);
            return lane;
        }
    }

    private protected override void DisposeCore()
    {
        lock (_lock)
        {
            if (!_closed)
            {
                _closed = true;
                _link.Dispose();
            }
        }
    }

    private protected override void ReportHostWait()
    {
    }

    private TReply Ask<TReply>(ControlMessage request)
        where TReply : ControlMessage
    {
        ThrowIfClosed();
        return _link.Ask<TReply>(request);
    }

    private void Send<T>(SubmissionKind kind, in T record)
        where T : unmanaged
    {
        ThrowIfClosed();
        _link.Send(kind, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in record)));
    }

    /// <summary>Waits for the answer to a record with a ticket.</summary>
    private long Await(ulong ticket)
    {
        ReadAnswers();
        while (_answer.Ticket != ticket)
        {
            _link.Pause();
            ReadAnswers();
        }

        return _answer.Count;
    }

    private static RemoteStep FindStep(RemoteLane lane, ulong number) =>
        lane.Find(number) is { } step && number + (ulong)lane.Depth > lane.Begun
            ? step
            : throw new KvException(KvError.InvalidArgument, $"Step {number} is not one of the lane's last {lane.Depth}.");

    private KvShape ShapeOf(RemoteStep step, int layout)
    {
        var shapes = _models[step.Model].Shapes;
        KvCacheOptions.Check(nameof(layout), layout, 0, shapes.Length - 1, 1);
        return shapes[layout];
    }

    /// <summary>Reads what the daemon has told.</summary>
    private void ReadAnswers()
    {
        while (_link.TryRead(_record, out var kind, out var bytes))
        {
            var body = _record.AsSpan(0, bytes);
            if (kind == CompletionKind.Step)
            {
                var record = MemoryMarshal.Read<StepAnswerRecord>(body);
                var status = (KvStepStatus)record.Status;
                _lanes[(int)record.Lane].Answer(record.Number, status)?.Answer(status == KvStepStatus.Accepted);
            }
            else if (kind == CompletionKind.Ticket)
            {
                _answer = MemoryMarshal.Read<TicketRecord>(body);
            }
        }
    }

    private void ThrowIfClosed()
    {
        if (_closed)
        {
            throw Closed();
        }
    }
}

/// <summary>A registered model: strides of its layouts, and their sliding windows.</summary>
internal readonly record struct RemoteModel(KvShape[] Shapes, int[] WindowTokens);
