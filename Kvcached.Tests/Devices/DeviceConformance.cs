using System.Runtime.InteropServices;
using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>
/// What every device does. A device plugs in by deriving a class that makes its fixture. Nothing here depends on how fast a device is,
/// and every conflict between accesses is ordered by points, so that a device which detects races finds none.
/// </summary>
public abstract partial class DeviceConformance : IDisposable
{
    /// <summary>Long enough for any device that works; only a failure waits this long.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>How long a real-time device gets to do what it must not do.</summary>
    private static readonly TimeSpan Glimpse = TimeSpan.FromMilliseconds(20);

    private readonly CommandList _commands = new();
    private DeviceFixture? _fixture;

    protected abstract DeviceFixture CreateFixture();

    public void Dispose()
    {
        _fixture?.Dispose();
        GC.SuppressFinalize(this);
    }

    private DeviceFixture Fixture => _fixture ??= CreateFixture();

    private IDevice Device => Fixture.Device;

    private static TimelinePoint At(DeviceTimeline timeline, ulong value) => new(timeline, value);

    private static WaitPoint[] Waits(params TimelinePoint[] points) => [.. points.Select(p => new WaitPoint(p.Timeline, p.Value))];

    private static Span<uint> Words(DeviceMemory host) => MemoryMarshal.Cast<byte, uint>(host.HostSpan(0, (int)host.Bytes));

    private DeviceQueue Queue(string label = "queue") => Device.CreateQueue(label);

    private DeviceTimeline Timeline(string label = "timeline") => Device.CreateTimeline(label);

    private DeviceMemory DeviceWords(int words, string label = "device words") => Device.Allocate(words * sizeof(uint), MemoryKind.Device, label);

    private DeviceMemory HostWords(int words, string label = "host words") => Device.Allocate(words * sizeof(uint), MemoryKind.Host, label);

    /// <summary>Clears the list and lets <paramref name="fill"/> fill it.</summary>
    private CommandList Commands(Action<CommandList>? fill = null)
    {
        _commands.Clear();
        fill?.Invoke(_commands);
        return _commands;
    }

    private void AssertReached(TimelinePoint point) =>
        Assert.True(Fixture.Reach(point, Patience), $"{point.Timeline.Label} did not reach {point.Value}; it is at {point.Timeline.Value}.");

    private void AssertNotReached(TimelinePoint point) =>
        Assert.False(Fixture.Reach(point, Glimpse), $"{point.Timeline.Label} reached {point.Value}, which nothing had released.");

    /// <summary>Device memory with these words, written before anything that is submitted from now on to any queue.</summary>
    private DeviceMemory Filled(params uint[] words)
    {
        var host = HostWords(words.Length, "initial words");
        words.CopyTo(Words(host));
        var memory = DeviceWords(words.Length);
        using var queue = Queue("initialization");
        var done = Timeline("initialization");
        queue.Submit([], Commands(c => c.Copy(memory, 0, host, 0, host.Bytes)), At(done, 1));
        AssertReached(At(done, 1));
        return memory;
    }

    /// <summary>The words of a device memory once <paramref name="after"/> is reached.</summary>
    private uint[] Read(DeviceMemory memory, TimelinePoint after)
    {
        var host = HostWords((int)(memory.Bytes / sizeof(uint)), "result");
        using var queue = Queue("reading");
        var done = Timeline("reading");
        queue.Submit(Waits(after), Commands(c => c.Copy(host, 0, memory, 0, memory.Bytes)), At(done, 1));
        AssertReached(At(done, 1));
        return Words(host).ToArray();
    }
}
