namespace Kvcached.Devices;

/// <summary>
/// A device without some of its waits, to show by a failing test that a wait matters. Passes everything to the device that it
/// decorates, but drops each wait whose reason is in the mask. A point that a submission names twice, for two reasons, is dropped only if
/// both are. Memory, timelines and kernels are the decorated device's own. Thread-safe, as that is; it owns that.
/// </summary>
public sealed class WaitDroppingDevice : IDevice
{
    /// <summary>Reasons are numbers from 0 to one less than this.</summary>
    public const int Reasons = 64;

    private readonly IDevice _device;
    private readonly ulong _mask;
    private readonly long[] _dropped = new long[Reasons];
    private readonly long[] _implied = new long[Reasons];

    /// <summary>Decorates a device.</summary>
    /// <param name="device">Where everything else goes.</param>
    /// <param name="mask">Bit r set: waits of reason r are dropped.</param>
    public WaitDroppingDevice(IDevice device, ulong mask)
    {
        ArgumentNullException.ThrowIfNull(device);
        _device = device;
        _mask = mask;
    }

    /// <inheritdoc/>
    public string Name => $"{_device.Name} without waits 0x{_mask:x}";

    /// <summary>Waits of a reason that were dropped.</summary>
    public long Dropped(int reason) => Volatile.Read(ref _dropped[Checked(reason)]);

    /// <summary>Those of <see cref="Dropped"/> that a wait which stayed in the same submission implies: same timeline, at least the value.</summary>
    public long Implied(int reason) => Volatile.Read(ref _implied[Checked(reason)]);

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => _device.Allocate(bytes, kind, label);

    /// <inheritdoc/>
    public DeviceMemory AllocateElastic(long bytes, long populated, string label) => _device.AllocateElastic(bytes, populated, label);

    /// <inheritdoc/>
    public DeviceQueue CreateQueue(string label) => new Queue(this, _device.CreateQueue(label));

    /// <inheritdoc/>
    public DeviceTimeline CreateTimeline(string label) => _device.CreateTimeline(label);

    /// <inheritdoc/>
    public DeviceKernel LoadKernel(string name) => _device.LoadKernel(name);

    /// <inheritdoc/>
    public void Dispose() => _device.Dispose();

    private static int Checked(int reason) => reason is >= 0 and < Reasons
        ? reason
        : throw new ArgumentOutOfRangeException(nameof(reason), reason, $"A wait's reason lies between 0 and {Reasons - 1}.");

    private bool IsMasked(int reason) => (_mask >> Checked(reason) & 1) != 0;

    /// <summary>A queue that submits what is left of the waits. One thread at a time, as for any queue.</summary>
    private sealed class Queue(WaitDroppingDevice owner, DeviceQueue queue) : DeviceQueue(queue.Label)
    {
        private WaitPoint[] _kept = new WaitPoint[8];

        public override nint NativeHandle => queue.NativeHandle;

        public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
        {
            if (_kept.Length < waits.Length)
            {
                _kept = new WaitPoint[waits.Length];
            }

            var kept = 0;
            foreach (ref readonly var wait in waits)
            {
                if (!owner.IsMasked(wait.Reason))
                {
                    _kept[kept++] = wait;
                }
            }

            var left = _kept.AsSpan(0, kept);
            queue.Submit(left, commands, signal);
            Count(waits, left);
            left.Clear();
        }

        protected override void Dispose(bool disposing) => queue.Dispose();

        private static bool Implies(ReadOnlySpan<WaitPoint> kept, in WaitPoint dropped)
        {
            foreach (ref readonly var wait in kept)
            {
                if (wait.Timeline == dropped.Timeline && wait.Value >= dropped.Value)
                {
                    return true;
                }
            }

            return false;
        }

        private void Count(ReadOnlySpan<WaitPoint> waits, ReadOnlySpan<WaitPoint> kept)
        {
            foreach (ref readonly var wait in waits)
            {
                if (owner.IsMasked(wait.Reason))
                {
                    Interlocked.Increment(ref owner._dropped[wait.Reason]);
                    if (Implies(kept, wait))
                    {
                        Interlocked.Increment(ref owner._implied[wait.Reason]);
                    }
                }
            }
        }
    }
}
