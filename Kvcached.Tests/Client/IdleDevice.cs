using Kvcached.Devices;
using Kvcached.Tests.Engine;

namespace Kvcached.Tests.Client;

/// <summary>A device that takes everything and runs nothing.</summary>
internal sealed class IdleDevice : IDevice
{
    public string Name => "idle";

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => new PlainMemory(label, bytes, kind);

    public DeviceQueue CreateQueue(string label) => new IdleQueue(label);

    public DeviceTimeline CreateTimeline(string label) => new IdleTimeline(label);

    public DeviceKernel LoadKernel(string name) => throw new KernelNotFoundException("The idle device has no kernels.");

    public void Dispose()
    {
    }

    private sealed class IdleQueue(string label) : DeviceQueue(label)
    {
        public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }

    private sealed class IdleTimeline(string label) : DeviceTimeline(label)
    {
        private ulong _value;

        public override ulong Value => _value;

        public override void Signal(ulong value) => _value = Math.Max(_value, value);

        public override bool WaitOnHost(ulong value, TimeSpan timeout) => _value >= value;

        protected override void Dispose(bool disposing)
        {
        }
    }
}
