using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The baseline: a buffer per request that holds all of its keys and values, no cache, no table. Views of every step are known ahead, since
/// nothing is ever refused.
/// </summary>
internal sealed class ContiguousKv : IKvSource
{
    /// <summary>Steps enqueued ahead of the device, so that its queue stays short.</summary>
    private const int Depth = 4;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(120);

    private readonly Schedule _schedule;
    private readonly ModelShape _shape;
    private readonly KvShape _kvShape;
    private readonly DeviceMemory _buffers;
    private readonly DeviceMemory _views;
    private readonly DeviceMemory _addresses;
    private readonly DeviceMemory _requests;
    private readonly DeviceTimeline _end;
    private ulong _begun;

    public ContiguousKv(IDevice device, ModelShape shape, Schedule schedule)
    {
        _schedule = schedule;
        _shape = shape;
        _kvShape = ContiguousShape.Of(shape.Layout.ToShape(), (uint)schedule.Requests.Max(request => request.Context));
        var items = schedule.Items.Count;
        _buffers = device.Allocate(schedule.Requests.Count * (long)_kvShape.BlockBytes, MemoryKind.Device, "contiguous KV");
        _views = DeviceUpload.Create(device, "views", (long)items * SequenceView.Bytes, WriteViews);
        _addresses = DeviceUpload.Create(device, "buffer addresses", (long)items * sizeof(ulong), WriteAddresses);
        _requests = ScheduleTable.Create(device, schedule);
        _end = device.CreateTimeline("contiguous end");
        Attention = AttentionLayer.Contiguous(device, shape);
    }

    public AttentionLayer Attention { get; }

    public KvCacheStatistics Statistics => default;

    public BegunStep Begin(int step)
    {
        if (_begun >= Depth)
        {
            Wait(_begun + 1 - Depth);
        }

        var planned = _schedule.Steps[step];
        var kv = new KvBatch
        {
            Views = _views.Address + ((ulong)planned.FirstItem * SequenceView.Bytes),
            Pool = _buffers.Address,
            Buffers = _addresses.Address + ((ulong)planned.FirstItem * sizeof(ulong)),
            Shape = _kvShape,
            Batch = (uint)planned.Items,
            Format = ElementFormat.Float16,
        };
        var requests = ScheduleTable.AddressOf(_requests, planned);
        var previous = new WaitPoint(_end, _begun++);
        return new BegunStep(new StepInput(kv, requests, planned.Rows, planned.IsPrefill), previous, new TimelinePoint(_end, _begun));
    }

    public void Complete(CommandList commands)
    {
    }

    public void Submitted(int step)
    {
    }

    public void WaitForEnd() => Wait(_begun);

    public void Dispose()
    {
        _end.Dispose();
        _requests.Dispose();
        _addresses.Dispose();
        _views.Dispose();
        _buffers.Dispose();
    }

    private void Wait(ulong value)
    {
        if (!_end.WaitOnHost(value, Timeout))
        {
            throw new DemoFailedException($"Step {value} of the contiguous run did not end within {Timeout.TotalSeconds} s.");
        }
    }

    private void WriteViews(DeviceMemory staging)
    {
        var views = MemoryMarshal.Cast<byte, SequenceView>(staging.HostSpan(0, checked((int)staging.Bytes)));
        var tokens = new int[_schedule.Requests.Count];
        for (var i = 0; i < views.Length; i++)
        {
            var (request, newTokens) = _schedule.Items[i];
            tokens[request] += newTokens;
            views[i] = new SequenceView
            {
                BlockCount = (uint)_shape.Blocks(tokens[request]),
                TokenCount = (uint)tokens[request],
                NewTokens = (uint)newTokens,
                SequenceId = (uint)request,
            };
        }
    }

    private void WriteAddresses(DeviceMemory staging)
    {
        var addresses = MemoryMarshal.Cast<byte, ulong>(staging.HostSpan(0, checked((int)staging.Bytes)));
        for (var i = 0; i < addresses.Length; i++)
        {
            addresses[i] = _buffers.Address + ((ulong)_schedule.Items[i].Request * _kvShape.BlockBytes);
        }
    }
}
