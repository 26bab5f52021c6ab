using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>What is written down when commands are submitted.</summary>
internal sealed unsafe partial class OpenClQueue
{
    private protected override int MeasureMore(ReadOnlySpan<Command> commands)
    {
        var bytes = Completion.Bytes;
        foreach (ref readonly var command in commands)
        {
            bytes += command.Kind == CommandKind.Launch
                ? LaunchShape.Bytes + (KernelMemory.Bytes * Own(command.Kernel).Kernel.Addresses.Length)
                : TransferBuffers.Bytes;
        }

        return bytes;
    }

    private protected override byte* AddressOf(DeviceMemory? memory, out bool isReadOnly)
    {
        var buffer = BufferOf(memory);
        isReadOnly = memory is MappedMemory { IsReadOnly: true };

        // Throws where it is disposed.
        var address = memory!.Address;
        return buffer == 0 ? (byte*)address : null;
    }

    private protected override void CaptureTransfer(ref readonly Command command, ref CommandRecord record, ref byte* more)
    {
        record.More = more;
        *(TransferBuffers*)more = new TransferBuffers { Target = BufferOf(command.Target), Source = command.Source is null ? 0 : BufferOf(command.Source) };
        more += TransferBuffers.Bytes;
    }

    private protected override void CaptureLaunch(ref readonly Command command, ref CommandRecord record, ref byte* more)
    {
        record.More = more;
        CaptureLaunch(Own(command.Kernel), ref record);
        more += LaunchShape.Bytes + (KernelMemory.Bytes * ((LaunchShape*)more)->Addresses);
    }

    private protected override void CaptureEnd(byte* more) => *(Completion*)more = new Completion { Queue = GCHandle.ToIntPtr(_self) };

    private void CaptureLaunch(OpenClKernel kernel, ref CommandRecord record)
    {
        var blob = new ReadOnlySpan<byte>(record.Payload, (int)record.Length);
        var launch = kernel.Kernel.Spread(blob, _device.ComputeUnits);
        var addresses = kernel.Kernel.Addresses;
        record.Kernel = kernel.FirstFunction + launch.EntryPoint;
        *(LaunchShape*)record.More = new LaunchShape
        {
            Function = launch.IsEmpty ? LaunchShape.None : record.Kernel,
            GroupSize = launch.GroupSize,
            GroupsX = launch.GroupsX,
            GroupsY = launch.GroupsY,
            GroupsZ = launch.GroupsZ,
            Addresses = addresses.Length,
        };
        if (launch.IsEmpty)
        {
            return;
        }

        var memories = (KernelMemory*)(record.More + LaunchShape.Bytes);
        for (var i = 0; i < addresses.Length; i++)
        {
            memories[i] = MemoryAt(kernel, blob, addresses[i]);
        }
    }

    private KernelMemory MemoryAt(OpenClKernel kernel, ReadOnlySpan<byte> blob, int offset)
    {
        var address = MemoryMarshal.Read<ulong>(blob[offset..]);
        if (address == 0)
        {
            return default;
        }

        var memory = _device.Addresses.Find(address, out var start);
        var buffer = memory is null ? 0 : ((IOpenClMemory)memory).Buffer;
        return buffer != 0
            ? new KernelMemory { Buffer = buffer, Base = start }
            : throw new ArgumentException(
                $"The kernel {kernel.Name} is given 0x{address:x} at byte {offset} of its arguments, which "
                + (memory is null ? $"lies in no memory of {_device.Name}." : $"lies in {memory.Label}: memory of the host, which kernels of {_device.Name} do not reach."));
    }

    private OpenClKernel Own(DeviceKernel? kernel) =>
        kernel is OpenClKernel own && own.Device == _device ? own : throw Foreign("kernel", kernel?.Name);

    private nint BufferOf(DeviceMemory? memory) => _device.BufferOf(memory) ?? throw Foreign("memory", memory?.Label);
}
