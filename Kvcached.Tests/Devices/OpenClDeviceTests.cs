using System.Globalization;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>What the OpenCL device promises beyond the contract.</summary>
public sealed class OpenClDeviceTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly CommandList _commands = new();
    private OpenClDevice? _opened;

    private OpenClDevice Device => _opened ??= Open();

    public void Dispose() => _opened?.Dispose();

    [Theory]
    [InlineData(-5, "CL_OUT_OF_RESOURCES")]
    [InlineData(-19, "CL_KERNEL_ARG_INFO_NOT_AVAILABLE")]
    [InlineData(-30, "CL_INVALID_VALUE")]
    [InlineData(-54, "CL_INVALID_WORK_GROUP_SIZE")]
    [InlineData(-68, "CL_INVALID_DEVICE_PARTITION_COUNT")]
    [InlineData(-1001, "CL_PLATFORM_NOT_FOUND_KHR")]
    [InlineData(-9999, "own")]
    [InlineData(int.MinValue, "own")]
    public void An_error_names_the_call_and_the_code_as_the_specification_does(int code, string name)
    {
        var e = new OpenClException("clFinish", code);
        Assert.Contains("clFinish", e.Message, StringComparison.Ordinal);
        Assert.Contains(name, e.Message, StringComparison.Ordinal);
        Assert.Contains(code.ToString(CultureInfo.InvariantCulture), e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, false, 0ul, true)]
    [InlineData(false, true, 0ul, false)]
    [InlineData(false, true, 3ul, false)]
    [InlineData(false, true, 7ul, true)]
    [InlineData(false, false, 7ul, false)]
    public void Memory_of_the_host_is_used_in_place_by_a_CPU_and_by_a_GPU_that_is_coherent_with_it(bool isCpu, bool isUnified, ulong svmCapabilities, bool uses) =>
        Assert.Equal(uses, OpenClPlatforms.CanUseHostMemory(isCpu, isUnified, svmCapabilities));

    [Theory]
    [InlineData(-4, true)]
    [InlineData(-5, true)]
    [InlineData(-6, true)]
    [InlineData(-14, false)]
    [InlineData(-61, false)]
    public void Codes_for_want_of_memory_are_told_from_others(int code, bool isOutOfMemory) =>
        Assert.Equal(isOutOfMemory, OpenClException.IsOutOfMemory(code));

    [OpenClFact]
    public void Devices_are_found_by_number_and_by_a_part_of_their_name()
    {
        var first = OpenClDevice.List().First(d => d.Unusable is null);
        Assert.True(first.ComputeUnits > 0 && first.MaxAllocationBytes > 0 && first.Bytes >= first.MaxAllocationBytes, first.ToString());
        using var byNumber = Open(o => o with { Platform = $"{first.PlatformNumber}", Device = $"{first.Number}" });
        using var byName = Open(o => o with { Platform = first.Platform[..4].ToUpperInvariant(), Device = first.Name[1..] });
        Assert.Equal(byNumber.Name, byName.Name);
        Assert.Contains(first.Name, byName.Name, StringComparison.Ordinal);
        var e = Assert.Throws<DeviceUnavailableException>(() => Open(o => o with { Device = "no such device" }));
        Assert.Contains("no such device", e.Message, StringComparison.Ordinal);
        Assert.Contains(first.Name, e.Message, StringComparison.Ordinal);
    }

    [OpenClFact]
    public void Options_and_kernels_that_make_no_sense_are_typed_errors_that_name_them()
    {
        Assert.Contains(nameof(OpenClDeviceOptions.MaxBytes), Assert.Throws<ArgumentOutOfRangeException>(() => Open(o => o with { MaxBytes = 0 })).Message, StringComparison.Ordinal);
        var twice = Assert.Throws<ArgumentException>(() => Open(o => o with { Kernels = [GpuKernelLibrary.All[0]] }));
        Assert.Contains(GpuKernelLibrary.All[0].Name, twice.Message, StringComparison.Ordinal);
        var missing = Assert.Throws<OpenClBuildException>(() => Open(o => o with { Kernels = [Kernel("test.missing", "test.cl", "test_missing")] }));
        Assert.Contains("test_missing", missing.Message, StringComparison.Ordinal);
    }

    [OpenClFact]
    public void A_text_that_cannot_be_built_is_a_typed_error_that_has_the_log()
    {
        var e = Assert.Throws<OpenClBuildException>(() => Open(o => o with { Kernels = [Kernel("test.broken", "broken.cl", "test_broken")] }));
        Assert.Contains("undeclared_in_broken", e.Message, StringComparison.Ordinal);
    }

    [OpenClFact]
    public void Kernels_of_the_library_are_there() =>
        Assert.All(GpuKernelLibrary.All, k => Assert.Equal(k.Name, Device.LoadKernel(k.Name).Name));

    [OpenClFact]
    public void More_than_one_allocation_may_have_is_a_typed_error_that_names_the_limit()
    {
        var limit = OpenClDevice.List().First(d => d.Unusable is null).MaxAllocationBytes;
        using var device = Open(o => o with { MaxBytes = long.MaxValue });
        var e = Assert.Throws<OutOfDeviceMemoryException>(() => device.Allocate(limit + 1, MemoryKind.Device, "pool"));
        Assert.Contains($"{limit + 1} bytes for pool", e.Message, StringComparison.Ordinal);
        Assert.Contains($"{limit} bytes (CL_DEVICE_MAX_MEM_ALLOC_SIZE)", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, device.DeviceBytes);
        device.Allocate(limit, MemoryKind.Device, "pool");
    }

    [OpenClFact]
    public void Memory_is_limited_over_both_kinds()
    {
        using var device = Open(o => o with { MaxBytes = 8192 });
        device.Allocate(4096, MemoryKind.Device, "half");
        Assert.Throws<OutOfDeviceMemoryException>(() => device.Allocate(4097, MemoryKind.Host, "more"));
    }

    [OpenClFact]
    public void An_address_in_no_memory_is_a_typed_error_and_nothing_is_submitted()
    {
        var words = Device.Allocate(4096, MemoryKind.Device, "words");
        var (queue, done) = (Device.CreateQueue("queue"), Device.CreateTimeline("done"));
        _commands.Fill(words, 0, 4, 1);
        _commands.Launch(Device.LoadKernel(TestKernels.CopyIndirect), new CopyIndirectArguments { Index = words.Address, Words = words.Address + 4096, Target = words.Address });
        var e = Assert.Throws<ArgumentException>(() => queue.Submit([], _commands, new TimelinePoint(done, 1)));
        Assert.Contains($"{TestKernels.CopyIndirect} is given 0x{words.Address + 4096:x} at byte 8", e.Message, StringComparison.Ordinal);
        words.Dispose();
        _commands.Clear();
        _commands.Launch(Device.LoadKernel(TestKernels.AddU32), new AddArguments());
        queue.Submit([], _commands, new TimelinePoint(done, 2));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(2ul, done.Value);
    }

    [OpenClFact]
    public void Where_the_device_has_its_own_memory_that_of_the_host_is_not_for_kernels_and_its_own_is_not_shared()
    {
        using var device = Open(o => o with { OwnMemory = true });
        var host = device.Allocate(4096, MemoryKind.Host, "seen by copies");
        var (queue, done) = (device.CreateQueue("queue"), device.CreateTimeline("done"));
        _commands.Launch(device.LoadKernel(TestKernels.AddU32), new AddArguments { Address = host.Address, Words = 1 });
        var e = Assert.Throws<ArgumentException>(() => queue.Submit([], _commands, new TimelinePoint(done, 1)));
        Assert.Contains("seen by copies", e.Message, StringComparison.Ordinal);
        Assert.Throws<OutOfDeviceMemoryException>(() => device.Allocate(4096, MemoryKind.Device, "pool", SharedAccess.ReadWriteForOthers));
        device.Allocate(4096, MemoryKind.Host, "timelines", SharedAccess.ReadOnlyForOthers);
    }

    [OpenClFact]
    public void Commands_between_memories_of_the_host_go_through_a_device_that_does_not_use_them()
    {
        const int Bytes = 200_001;
        using var device = Open(o => o with { OwnMemory = true });
        var (source, target) = (device.Allocate(Bytes, MemoryKind.Host, "source"), device.Allocate(Bytes, MemoryKind.Host, "target"));
        new Random(1).NextBytes(source.HostSpan(0, Bytes));
        _commands.Copy(target, 0, source, 0, Bytes);
        _commands.Fill(target, 7, 100_000, 9);
        for (var i = 0u; i < 10_000; i++)
        {
            _commands.UpdateTable(target, 30_000 + (i % 100), i);
        }

        var (queue, done) = (device.CreateQueue("queue"), device.CreateTimeline("done"));
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        var expected = source.HostSpan(0, Bytes).ToArray();
        expected.AsSpan(7, 100_000).Fill(9);
        for (var i = 0; i < 100; i++)
        {
            MemoryMarshal.Write(expected.AsSpan((30_000 + i) * sizeof(uint)), 9_900 + i);
        }

        Assert.True(target.HostSpan(0, Bytes).SequenceEqual(expected));
    }

    [OpenClFact]
    public async Task A_command_that_fails_loses_the_device_and_is_named()
    {
        var kernel = new GpuKernel("test.too_many", new GpuSource("test", typeof(OpenClDeviceTests).Assembly, "test.cl"), ["test_add_u32"], (_, _) => new GpuLaunch(0, 16, 1), 0, 0);
        using var device = Open(o => o with { Kernels = [kernel] });
        var (queue, other) = (device.CreateQueue("failing"), device.CreateQueue("other"));
        var (timeline, gate) = (device.CreateTimeline("timeline"), device.CreateTimeline("gate"));
        var word = device.Allocate(4, MemoryKind.Host, "word");
        other.Submit([new WaitPoint(timeline, 1)], _commands, new TimelinePoint(gate, 1));
        var waiting = Task.Run(() => gate.WaitOnHost(1, Patience));

        _commands.Launch(device.LoadKernel("test.too_many"), new AddArguments { Words = 1 });
        _commands.UpdateTable(word, 0, 1);
        queue.Submit([], _commands, new TimelinePoint(timeline, 1));

        AssertNamed(Assert.Throws<DeviceLostException>(() => timeline.WaitOnHost(1, Patience)));
        AssertNamed(await Assert.ThrowsAsync<DeviceLostException>(() => waiting));
        AssertNamed(Assert.Throws<DeviceLostException>(() => other.Submit([], _commands, new TimelinePoint(timeline, 2))));
        Assert.Equal(0ul, timeline.Value);
        Assert.Equal(0, MemoryMarshal.Read<int>(word.HostSpan(0, 4)));

        static void AssertNamed(DeviceLostException e)
        {
            Assert.Contains("test_add_u32", e.Message, StringComparison.Ordinal);
            Assert.Contains("clSetKernelArg failed: CL_INVALID_ARG_INDEX", e.Message, StringComparison.Ordinal);
        }
    }

    [OpenClFact]
    public void A_kernel_finds_its_memory_by_an_address_far_inside()
    {
        // The address that a kernel is given lies anywhere in its memory: the memory is found by it, and its start is taken off.
        var words = Device.Allocate(1 << 20, MemoryKind.Device, "words");
        var (queue, done) = (Device.CreateQueue("queue"), Device.CreateTimeline("done"));
        var host = Device.Allocate(8, MemoryKind.Host, "host");
        _commands.Launch(Device.LoadKernel(TestKernels.AddU32), new AddArguments { Address = words.Address + (1 << 20) - 4, Words = 1, Addend = 5 });
        _commands.Copy(host, 0, words, (1 << 20) - 8, 8);
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(5ul << 32, MemoryMarshal.Read<ulong>(host.HostSpan(0, 8)));
    }

    [OpenClFact]
    public void Native_handles_are_those_of_the_device_alone()
    {
        var memory = Device.Allocate(4096, MemoryKind.Device, "memory");
        Assert.NotEqual(0, Device.NativeBuffer(memory));
        Assert.NotEqual(0, Device.NativeContext);
        Assert.NotEqual(0, Device.CreateQueue("queue").NativeHandle);
        Assert.Equal(Device.NativeBuffer(memory), Device.NativeBuffer(memory.Address + 4095, out var offset));
        Assert.Equal(4095ul, offset);
        using var other = Open();
        Assert.Throws<ArgumentException>(() => other.NativeBuffer(memory));
        Assert.Throws<ArgumentException>(() => other.NativeBuffer(memory.Address, out _));
        Assert.Throws<ArgumentException>(() => Device.NativeBuffer(0, out _));
    }

    private static GpuKernel Kernel(string name, string file, string function) =>
        new(name, new GpuSource(name, typeof(OpenClDeviceTests).Assembly, file), [function], (_, _) => default);

    private static OpenClDevice Open(Func<OpenClDeviceOptions, OpenClDeviceOptions>? change = null)
    {
        var options = new OpenClDeviceOptions { Kernels = GpuTestKernels.All };
        return new OpenClDevice(change is null ? options : change(options));
    }
}

/// <summary>Runs alone: other tests' allocations would be counted.</summary>
[Collection(nameof(CpuDeviceCostTests))]
public sealed class OpenClDeviceCostTests
{
    [OpenClFact]
    public void Submissions_in_steady_use_allocate_no_managed_memory()
    {
        using var device = new OpenClDevice(new OpenClDeviceOptions { Kernels = GpuTestKernels.All });
        SteadyWork.AssertAllocatesNothing(device);
    }
}
