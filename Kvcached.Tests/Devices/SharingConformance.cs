using System.ComponentModel;
using System.Globalization;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Kvcached.Devices.OpenCl;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>The suite on cpu devices.</summary>
public sealed class CpuSharingConformance() : SharingConformance(() => new CpuDevice(new CpuDeviceOptions { Workers = 1 }));

/// <summary>The suite on OpenCL devices that use the host's memory.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClSharingConformance() : SharingConformance(() => new OpenClDevice())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaSharingConformance() : SharingConformance(() => new CudaDevice())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>Memory and timelines of two devices, as two processes would have them: what one imports is another mapping of the same memory.</summary>
public abstract partial class SharingConformance : IDisposable
{
    private const ulong Large = 1ul << 40;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(20);

    private readonly MappedDevice _owner;
    private readonly MappedDevice _peer;
    private readonly CommandList _commands = new();

    private protected SharingConformance(Func<MappedDevice> open) => (_owner, _peer) = (open(), open());

    public void Dispose()
    {
        _owner.Dispose();
        _peer.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void What_one_writes_the_other_reads()
    {
        var (memory, imported) = Share(8192, SharedAccess.ReadWriteForOthers);
        memory.HostSpan(4096, 1)[0] = 7;
        Assert.Equal(7, imported.HostSpan(4096, 1)[0]);
        imported.HostSpan(1, 1)[0] = 8;
        Assert.Equal(8, memory.HostSpan(1, 1)[0]);
        Assert.Equal((8192, 0), (_owner.HostBytes, _peer.HostBytes));
    }

    [Fact]
    public void Memory_shared_for_reading_is_read_by_others_and_written_by_its_owner()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadOnlyForOthers);
        memory.HostSpan(0, 1)[0] = 7;
        Assert.Equal(7, imported.HostSpan(0, 1)[0]);
        var (target, queue, done) = (_peer.Allocate(4096, MemoryKind.Host, "target"), _peer.CreateQueue("queue"), _peer.CreateTimeline("done"));
        _commands.Copy(target, 0, imported, 0, 16);
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(7, target.HostSpan(0, 1)[0]);
    }

    [Fact]
    public void Commands_that_would_write_what_may_only_be_read_are_refused()
    {
        var (_, imported) = Share(4096, SharedAccess.ReadOnlyForOthers);
        var (queue, done) = (_peer.CreateQueue("queue"), _peer.CreateTimeline("done"));
        AssertRefused(c => c.Fill(imported, 0, 16, 1));
        AssertRefused(c => c.Copy(imported, 0, imported, 64, 16));
        AssertRefused(c => c.UpdateTable(imported, 0, 1));

        void AssertRefused(Action<CommandList> record)
        {
            _commands.Clear();
            record(_commands);
            var e = Assert.Throws<InvalidOperationException>(() => queue.Submit([], _commands, new TimelinePoint(done, 1)));
            Assert.Contains("shared", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Who_may_only_read_gets_no_mapping_to_write_by_any_way()
    {
        var (memory, _) = Share(4096, SharedAccess.ReadOnlyForOthers);
        Assert.Throws<OutOfDeviceMemoryException>(() => _peer.Import(Copy(memory), 4096, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "written"));
        var path = $"/proc/self/fd/{Number(_owner.DescriptorOf(memory))}";
        using var reopened = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Assert.Throws<Win32Exception>(() => SharedMapping.Import(SocketPair.Copy(reopened), 4096, writable: true));
        Assert.ThrowsAny<Exception>(() => RandomAccess.Write(reopened, [1], 0));
        Assert.Equal(0, memory.HostSpan(0, 1)[0]);
    }

    [Theory]
    [InlineData(SharedAccess.ReadOnlyForOthers)]
    [InlineData(SharedAccess.ReadWriteForOthers)]
    public void Nobody_changes_the_size_of_what_is_shared(SharedAccess access)
    {
        var (memory, _) = Share(8192, access);
        Assert.Equal(-1, LibC.Ftruncate(_owner.DescriptorOf(memory), 4096));
        Assert.Equal(-1, LibC.Ftruncate(_owner.DescriptorOf(memory), 16384));
    }

    [Fact]
    public void Memory_shared_for_writing_is_discarded_by_its_owner_alone()
    {
        var (memory, imported) = Share(8192, SharedAccess.ReadWriteForOthers);
        imported.HostSpan(4096, 1)[0] = 7;
        memory.Discard(4096, 4096);
        Assert.Equal(0, imported.HostSpan(4096, 1)[0]);
        Assert.Throws<InvalidOperationException>(() => imported.Discard(0, 4096));
        var (sealedMemory, _) = Share(4096, SharedAccess.ReadOnlyForOthers);
        Assert.Throws<InvalidOperationException>(() => sealedMemory.Discard(0, 4096));
    }

    [Fact]
    public void What_is_smaller_than_was_said_or_could_become_so_is_not_imported()
    {
        var (memory, _) = Share(4096, SharedAccess.ReadWriteForOthers);
        AssertRefused(Copy(memory), 4097);
        using var open = SharedMapping.Create(4096, "open");
        AssertRefused(SocketPair.Copy(open.Descriptor), 4096);
        var path = Path.GetTempFileName();
        AssertRefused(File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite), 1);
        File.Delete(path);

        void AssertRefused(SafeFileHandle descriptor, long bytes)
        {
            Assert.Throws<ArgumentException>(() => _peer.Import(descriptor, bytes, MemoryKind.Host, SharedAccess.ReadWriteForOthers, "refused"));
            Assert.True(descriptor.IsClosed);
        }
    }

    [Fact]
    public void Only_what_was_allocated_here_to_be_shared_has_a_descriptor()
    {
        var (_, imported) = Share(4096, SharedAccess.ReadWriteForOthers);
        Assert.Throws<InvalidOperationException>(() => _owner.DescriptorOf(_owner.Allocate(4096, MemoryKind.Host, "private")));
        Assert.Throws<InvalidOperationException>(() => _peer.DescriptorOf(imported));
        Assert.Throws<ArgumentException>(() => _owner.DescriptorOf(imported));
    }

    private static long Number(SafeFileHandle descriptor) => descriptor.DangerousGetHandle();

    private static ulong CountOf(SafeFileHandle eventDescriptor)
    {
        var line = File.ReadLines($"/proc/self/fdinfo/{Number(eventDescriptor)}").Single(l => l.StartsWith("eventfd-count:", StringComparison.Ordinal));
        return ulong.Parse(line["eventfd-count:".Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private SafeFileHandle Copy(DeviceMemory memory) => SocketPair.Copy(_owner.DescriptorOf(memory));

    private (DeviceMemory Memory, DeviceMemory Imported) Share(long bytes, SharedAccess access)
    {
        var memory = _owner.Allocate(bytes, MemoryKind.Host, "shared", access);
        return (memory, _peer.Import(Copy(memory), bytes, MemoryKind.Host, access, "shared"));
    }

    private (DeviceTimeline Owner, DeviceTimeline Peer) Timelines(SharedAccess access, ulong value) => Timelines(access, value, out _, out _);

    private (DeviceTimeline Owner, DeviceTimeline Peer) Timelines(SharedAccess access, ulong value, out DeviceMemory memory, out DeviceMemory imported)
    {
        (memory, imported) = Share(4096, access);
        return (_owner.CreateTimeline(memory, 128, value, "timeline"), _peer.ImportTimeline(imported, 128, "timeline"));
    }

    /// <summary>A timeline of the owner's, and memory in which another may write its words, at byte 0.</summary>
    private (DeviceTimeline Owner, DeviceTimeline Peer, DeviceMemory Words) HostileTimeline()
    {
        var (memory, imported) = Share(4096, SharedAccess.ReadWriteForOthers);
        return (_owner.CreateTimeline(memory, 0, 0, "hostile"), _peer.ImportTimeline(imported, 0, "hostile"), imported);
    }
}
