using Kvcached.Devices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Tests.Server;

/// <summary>A device whose driver takes its time: while it is held, nothing can be allocated, and no queue made or ended. What was made works.</summary>
internal sealed class HeldDevice(ISharingDevice device) : ISharingDevice
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(30);

    private readonly ManualResetEventSlim _isFree = new(initialState: true);
    private int _waiting;

    public string Name => device.Name;

    public SharedMemoryKind SharedMemory { get; set; } = device.SharedMemory;

    public int TimelineBytes => device.TimelineBytes;

    /// <summary>Calls that are held up now.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Why the device is lost, once it is.</summary>
    public DeviceLostException? Loss { get; set; }

    public void Hold() => _isFree.Reset();

    public void Free() => _isFree.Set();

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label)
    {
        Pass();
        return device.Allocate(bytes, kind, label);
    }

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label, SharedAccess access)
    {
        Pass();
        return device.Allocate(bytes, kind, label, access);
    }

    public DeviceQueue CreateQueue(string label)
    {
        Pass();
        return new Queue(this, device.CreateQueue(label));
    }

    public DeviceTimeline CreateTimeline(string label) => device.CreateTimeline(label);

    public DeviceTimeline CreateTimeline(DeviceMemory memory, long offset, ulong value, string label) => device.CreateTimeline(memory, offset, value, label);

    public DeviceTimeline ImportTimeline(DeviceMemory memory, long offset, string label) => device.ImportTimeline(memory, offset, label);

    public DeviceKernel LoadKernel(string name) => device.LoadKernel(name);

    public SafeFileHandle DescriptorOf(DeviceMemory memory) => device.DescriptorOf(memory);

    public DeviceMemory Import(SafeFileHandle descriptor, long bytes, MemoryKind kind, SharedAccess access, string label) => device.Import(descriptor, bytes, kind, access, label);

    public void Poison(DeviceTimeline timeline, ulong value) => device.Poison(timeline, value);

    public SignalBell CreateBell(DeviceMemory attention, long offset, uint bits, SafeFileHandle eventDescriptor) => device.CreateBell(attention, offset, bits, eventDescriptor);

    public void Attach(DeviceTimeline timeline, SignalBell? bell) => device.Attach(timeline, bell);

    public void ThrowIfLost()
    {
        if (Loss is { } loss)
        {
            throw loss;
        }

        device.ThrowIfLost();
    }

    public void Dispose() => _isFree.Dispose();

    private void Pass()
    {
        Interlocked.Increment(ref _waiting);
        if (!_isFree.Wait(_limit))
        {
            throw new OutOfDeviceMemoryException($"The device has been held for {_limit.TotalSeconds} s.");
        }

        Interlocked.Decrement(ref _waiting);
    }

    private sealed class Queue(HeldDevice owner, DeviceQueue queue) : DeviceQueue(queue.Label)
    {
        public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal) => queue.Submit(waits, commands, signal);

        protected override void Dispose(bool disposing)
        {
            owner.Pass();
            queue.Dispose();
        }
    }
}
