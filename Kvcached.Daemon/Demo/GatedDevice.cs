using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// A device whose queues can be held closed, all at once: what is submitted while the gate is closed starts only after it has been opened.
/// Any call that waits for the device's progress in between waits for ever, which is what the gate test looks for.
/// Memory, timelines and kernels are the inner device's own, as its queues expect. Does not own the inner device.
/// </summary>
internal sealed class GatedDevice(IDevice inner) : IDevice
{
    private readonly DeviceTimeline _gate = inner.CreateTimeline("gate");
    private ulong _required;

    public string Name => inner.Name;

    /// <summary>Holds back what is submitted from now on.</summary>
    public void Close() => Volatile.Write(ref _required, _gate.Value + 1);

    /// <summary>Lets go what has been held back.</summary>
    public void Open() => _gate.Signal(Volatile.Read(ref _required));

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => inner.Allocate(bytes, kind, label);

    public DeviceMemory AllocateElastic(long bytes, long populated, string label) => inner.AllocateElastic(bytes, populated, label);

    public DeviceQueue CreateQueue(string label) => new GatedQueue(this, inner.CreateQueue(label));

    public DeviceTimeline CreateTimeline(string label) => inner.CreateTimeline(label);

    public DeviceKernel LoadKernel(string name) => inner.LoadKernel(name);

    public void Dispose() => _gate.Dispose();

    /// <summary>Adds the gate to the waits of every submission.</summary>
    private sealed class GatedQueue(GatedDevice device, DeviceQueue inner) : DeviceQueue(inner.Label)
    {
        private WaitPoint[] _waits = new WaitPoint[16];

        public override nint NativeHandle => inner.NativeHandle;

        public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
        {
            if (waits.Length >= _waits.Length)
            {
                Array.Resize(ref _waits, waits.Length * 2);
            }

            waits.CopyTo(_waits);
            _waits[waits.Length] = new WaitPoint(device._gate, Volatile.Read(ref device._required));
            inner.Submit(_waits.AsSpan(0, waits.Length + 1), commands, signal);
        }

        protected override void Dispose(bool disposing) => inner.Dispose();
    }
}
