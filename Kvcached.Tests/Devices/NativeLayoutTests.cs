using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Host;
using Kvcached.Devices.Linux;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Layouts that the kernel, other processes or kernels of the device rely on, against the numbers that their diagrams give.</summary>
public class NativeLayoutTests
{
    [Fact]
    public void A_timespec_is_two_64_bit_numbers()
    {
        Assert.Equal(16, Marshal.SizeOf<LibC.Timespec>());
        Assert.Equal(0, Marshal.OffsetOf<LibC.Timespec>(nameof(LibC.Timespec.Seconds)));
        Assert.Equal(8, Marshal.OffsetOf<LibC.Timespec>(nameof(LibC.Timespec.Nanoseconds)));
    }

    [Fact]
    public unsafe void Structures_of_messages_descriptors_and_processes_are_those_of_64_bit_Linux()
    {
        Assert.Equal(256, sizeof(LibC.StatxResult));
        Assert.Equal(40, Marshal.OffsetOf<LibC.StatxResult>(nameof(LibC.StatxResult.Size)));
        Assert.Equal(16, sizeof(LibC.IoVector));
        Assert.Equal(56, sizeof(LibC.MessageHeader));
        Assert.Equal(16, Marshal.OffsetOf<LibC.MessageHeader>(nameof(LibC.MessageHeader.Vectors)));
        Assert.Equal(32, Marshal.OffsetOf<LibC.MessageHeader>(nameof(LibC.MessageHeader.Control)));
        Assert.Equal(48, Marshal.OffsetOf<LibC.MessageHeader>(nameof(LibC.MessageHeader.Flags)));
        Assert.Equal(16, sizeof(LibC.ControlHeader));
        Assert.Equal(8, Marshal.OffsetOf<LibC.ControlHeader>(nameof(LibC.ControlHeader.Level)));
        Assert.Equal(8, sizeof(LibC.PollDescriptor));
        Assert.Equal(12, sizeof(LibC.UserCredentials));
        Assert.Equal(RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16, Epoll.EventBytes);
    }

    [Fact]
    public void A_timeline_has_its_value_and_bell_in_one_line()
    {
        Assert.Equal(64, Unsafe.SizeOf<TimelineSlot>());
        Assert.Equal(0, Marshal.OffsetOf<TimelineSlot>("_value"));
        Assert.Equal(8, Marshal.OffsetOf<TimelineSlot>(nameof(TimelineSlot.Bell)));
        Assert.Equal(8, Unsafe.SizeOf<Doorbell>());
        Assert.Equal(0, Marshal.OffsetOf<Doorbell>("_sequence"));
        Assert.Equal(4, Marshal.OffsetOf<Doorbell>("_waiters"));
    }

    [Fact]
    public void Parts_of_a_submission_record_start_at_multiples_of_16()
    {
        Assert.Equal(48, Unsafe.SizeOf<SubmissionRecord>());
        Assert.Equal(16, Unsafe.SizeOf<WaitRecord>());
        Assert.Equal(48, Unsafe.SizeOf<CommandRecord>());
        Assert.Equal(8, Unsafe.SizeOf<TableEntry>());
        Assert.Equal(48 + (3 * 16) + (2 * 48) + 112, SubmissionRecord.Measure(3, 2, 100));
    }

    [Fact]
    public unsafe void A_launch_keeps_what_different_threads_write_in_different_lines()
    {
        Assert.Equal(256, sizeof(KernelLaunch));
        Assert.Equal(136, Marshal.OffsetOf<KernelLaunch>(nameof(KernelLaunch.Finished)));
    }

    [Fact]
    public void Shared_memory_is_zeroed_page_aligned_and_its_descriptor_is_closed_on_exec()
    {
        const int CloseOnExec = 0x80000;
        using var mapping = SharedMapping.Create(SharedMapping.PageBytes + 1, new string('é', 300));
        Assert.Equal(2 * SharedMapping.PageBytes, mapping.Bytes);
        Assert.Equal(0, mapping.Address % SharedMapping.PageBytes);

        var line = File.ReadLines($"/proc/self/fdinfo/{mapping.Descriptor.DangerousGetHandle()}").Single(l => l.StartsWith("flags:", StringComparison.Ordinal));
        Assert.NotEqual(0, Convert.ToInt32(line["flags:".Length..].Trim(), 8) & CloseOnExec);
    }
}
