using Kvcached.Devices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Passes everything on to another device and remembers queues and memory by label, and what a queue last copied, so that what a cache uses can be used
/// beside it. Owns that device. One thread at a time.
/// </summary>
internal sealed class TappedDevice(IDevice inner) : IDevice
{
    private readonly Dictionary<string, TappedQueue> _queues = [];
    private readonly Dictionary<string, DeviceMemory> _memory = [];

    public string Name => inner.Name;

    /// <summary>The queue that was created last with a label.</summary>
    public DeviceQueue Queue(string label) => _queues[label].Inner;

    /// <summary>The copies that a cache has submitted to a queue since they were last forgotten; the caller may forget them.</summary>
    public List<Command> CopiesOf(string label) => _queues[label].Copies;

    /// <summary>The memory that was allocated last with a label.</summary>
    public DeviceMemory Memory(string label) => _memory[label];

    public DeviceMemory Allocate(long bytes, MemoryKind kind, string label) => _memory[label] = inner.Allocate(bytes, kind, label);

    public DeviceQueue CreateQueue(string label) => _queues[label] = new TappedQueue(inner.CreateQueue(label));

    public DeviceTimeline CreateTimeline(string label) => inner.CreateTimeline(label);

    public DeviceKernel LoadKernel(string name) => inner.LoadKernel(name);

    public void Dispose() => inner.Dispose();

    private sealed class TappedQueue(DeviceQueue inner) : DeviceQueue(inner.Label)
    {
        public DeviceQueue Inner => inner;

        public List<Command> Copies { get; } = new(1024);

        public override nint NativeHandle => inner.NativeHandle;

        public override void Submit(ReadOnlySpan<WaitPoint> waits, CommandList commands, TimelinePoint signal)
        {
            inner.Submit(waits, commands, signal);
            foreach (ref readonly var command in commands.Commands)
            {
                // What nobody asks for is not kept.
                if (command.Kind == CommandKind.Copy && Copies.Count < Copies.Capacity)
                {
                    Copies.Add(command);
                }
            }
        }

        protected override void Dispose(bool disposing) => inner.Dispose();
    }
}
