using System.Runtime.CompilerServices;
using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Daemon.Demo;

/// <summary>Device addresses of what one step computes on the way: float[rows][columns] each, in one range of memory.</summary>
internal sealed class Activations : IDisposable
{
    private const ulong Alignment = 64;

    private readonly DeviceMemory _memory;

    public Activations(IDevice device, ModelShape shape, int maxRows, int maxItems)
    {
        MaxParts = AttentionArguments.PartsFor((uint)shape.MaxContext);
        var rows = (ulong)maxRows;
        var bytes = 0ul;
        RowInfos = Place(ref bytes, rows * (ulong)Unsafe.SizeOf<RowInfo>());
        RowStarts = Place(ref bytes, (ulong)maxItems * sizeof(uint));
        Residual = Place(ref bytes, rows * (ulong)shape.Hidden * sizeof(float));
        Normed = Place(ref bytes, rows * (ulong)shape.Hidden * sizeof(float));
        Queries = Place(ref bytes, rows * (ulong)shape.QueryColumns * sizeof(float));
        Keys = Place(ref bytes, rows * (ulong)shape.KvColumns * sizeof(float));
        Values = Place(ref bytes, rows * (ulong)shape.KvColumns * sizeof(float));
        Attended = Place(ref bytes, rows * (ulong)shape.QueryColumns * sizeof(float));
        GateUp = Place(ref bytes, rows * 2 * (ulong)shape.FeedForward * sizeof(float));
        FeedForward = Place(ref bytes, rows * (ulong)shape.FeedForward * sizeof(float));
        Logits = Place(ref bytes, rows * (ulong)shape.Vocabulary * sizeof(float));
        Partials = Place(ref bytes, AttentionArguments.PartialBytes((uint)maxItems, (uint)shape.QueryHeads, (uint)shape.HeadDim, MaxParts));
        _memory = device.Allocate((long)bytes, MemoryKind.Device, "activations");
        var address = _memory.Address;
        RowInfos += address;
        RowStarts += address;
        Residual += address;
        Normed += address;
        Queries += address;
        Keys += address;
        Values += address;
        Attended += address;
        GateUp += address;
        FeedForward += address;
        Logits += address;
        Partials += address;
    }

    public ulong RowInfos { get; }

    public ulong RowStarts { get; }

    public ulong Residual { get; }

    public ulong Normed { get; }

    public ulong Queries { get; }

    public ulong Keys { get; }

    public ulong Values { get; }

    public ulong Attended { get; }

    public ulong GateUp { get; }

    public ulong FeedForward { get; }

    public ulong Logits { get; }

    /// <summary>Parts of decode attention, before they are merged.</summary>
    public ulong Partials { get; }

    public uint MaxParts { get; }

    public void Dispose() => _memory.Dispose();

    private static ulong Place(ref ulong end, ulong bytes)
    {
        var offset = end;
        end = (end + bytes + Alignment - 1) / Alignment * Alignment;
        return offset;
    }
}
