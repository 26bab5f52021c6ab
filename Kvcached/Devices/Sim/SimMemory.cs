using System.Buffers;

namespace Kvcached.Devices.Sim;

/// <summary>
/// Memory of a simulated device: real bytes, whose accesses are tracked cell by cell. The host is an actor like the queues:
/// <see cref="HostSpan"/> counts as a write of the whole range at the time of the call.
/// <code>
///   address = (number + 1) &lt;&lt; 40 | offset
/// </code>
/// </summary>
public sealed class SimMemory : DeviceMemory
{
    internal const int AddressShift = 40;

    /// <summary>What is read of memory that has come back and not been cleared.</summary>
    private const byte Garbage = 0xCD;

    private readonly SimDevice _device;
    private byte[] _bytes;

    internal SimMemory(SimDevice device, string label, MemoryKind kind, int bytes, int number, CellTracker cells, MemoryReturn returns)
        : base(label, kind, bytes)
    {
        _device = device;
        Number = number;
        Cells = cells;
        Returns = returns;
        Later = returns == MemoryReturn.Later ? device.CreateArrivals(label) : null;
        _bytes = ArrayPool<byte>.Shared.Rent(bytes);
        _bytes.AsSpan(0, bytes).Clear();
    }

    /// <inheritdoc/>
    public override ulong Address => (ulong)(Number + 1) << AddressShift;

    internal SimDevice Device => _device;

    internal int Number { get; }

    internal CellTracker Cells { get; }

    /// <summary>What has been asked for, where memory is given later.</summary>
    internal SimArrivals? Later { get; }

    /// <inheritdoc/>
    public override MemoryReturn Returns { get; }

    /// <inheritdoc/>
    public override DeviceTimeline? Arrivals => Later?.Timeline;

    /// <summary>Once something has been discarded.</summary>
    internal PagePresence? Presence { get; private set; }

    internal bool IsDisposed { get; private set; }

    /// <summary>Commands under way that name this memory.</summary>
    internal int InUse { get; set; }

    internal Span<byte> Raw => _bytes.AsSpan(0, (int)Bytes);

    /// <inheritdoc/>
    public override Span<byte> HostSpan(long offset, int bytes)
    {
        CheckHostRange(offset, bytes);
        NoteHostWrite(offset, bytes);
        return Raw.Slice((int)offset, bytes);
    }

    /// <summary>The bytes as the host reads them: counts as a read, where <see cref="HostSpan"/> counts as a write.</summary>
    public ReadOnlySpan<byte> HostReadSpan(long offset, int bytes)
    {
        CheckHostRange(offset, bytes);
        NoteHostRead(offset, bytes);
        return Raw.Slice((int)offset, bytes);
    }

    /// <summary>Notes that the host writes a range, now.</summary>
    public void NoteHostWrite(long offset, long bytes) => _device.NoteHostAccess(this, offset, bytes, write: true);

    /// <summary>Notes that the host reads a range, now.</summary>
    public void NoteHostRead(long offset, long bytes) => _device.NoteHostAccess(this, offset, bytes, write: false);

    /// <summary>The bytes as they are now, of any kind of memory, seen by nobody: for tests and messages.</summary>
    public Span<byte> Peek(long offset, int bytes) => Raw.Slice((int)offset, bytes);

    /// <summary>Whether the page of a byte has memory behind it.</summary>
    public bool IsPresent(long offset) => Presence?.IsPresent(offset) ?? true;

    /// <inheritdoc/>
    protected override void DiscardCore(long offset, long bytes)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        NoteHostWrite(offset, bytes);
        Raw.Slice((int)offset, (int)bytes).Fill(Later is null ? (byte)0 : Garbage);
        if (Returns != MemoryReturn.Never)
        {
            (Presence ??= new PagePresence(Bytes)).Discard(offset, bytes);
        }
    }

    /// <inheritdoc/>
    protected override ulong PopulateCore(long offset, long bytes)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (Later is not null)
        {
            return _device.SubmitPopulate(Later, this, offset, bytes);
        }

        if (Returns == MemoryReturn.AtOnce)
        {
            _device.NotePopulated(this, offset, bytes);
        }

        return 0;
    }

    /// <inheritdoc/>
    public override bool IsRefused(ulong arrival) => Later?.Refused.Remove(arrival) == true;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (!IsDisposed)
        {
            IsDisposed = true;
            _device.OnDisposed(this);
            Release();
        }
    }

    internal void Release()
    {
        if (_bytes.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_bytes);
            _bytes = [];
            Cells.Release();
        }
    }

    private void CheckHostRange(long offset, int bytes)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (Kind != MemoryKind.Host)
        {
            throw new InvalidOperationException($"{Label} is memory of the device: the host cannot reach it.");
        }

        if (offset < 0 || bytes < 0 || bytes > Bytes - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} to {offset}+{bytes} do not lie in the {Bytes} bytes of {Label}.");
        }
    }
}
