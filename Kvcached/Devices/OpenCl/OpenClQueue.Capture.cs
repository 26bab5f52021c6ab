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

    private protected override void CaptureCommands(ReadOnlySpan<Command> commands, CommandRecord* records, byte* payload, int payloadBytes)
    {
        var more = payload + ((payloadBytes + SubmissionRecord.Alignment - 1) & ~(SubmissionRecord.Alignment - 1));
        for (var i = 0; i < commands.Length; i++)
        {
            ref readonly var command = ref commands[i];
            ref var record = ref records[i];
            record = new CommandRecord { Kind = command.Kind, FillValue = command.FillValue, Length = command.Bytes, More = more };
            switch (command.Kind)
            {
                case CommandKind.Copy:
                    var source = BufferOf(command.Source);
                    record.Source = StartOf(command.Source!, source) + command.SourceOffset;
                    CaptureTarget(in command, ref record, source);
                    break;
                case CommandKind.Fill:
                    CaptureTarget(in command, ref record, source: 0);
                    break;
                case CommandKind.UpdateTable:
                    CaptureTarget(in command, ref record, source: 0);
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    break;
                case CommandKind.Launch:
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    CaptureLaunch(Own(command.Kernel), ref record);
                    more += LaunchShape.Bytes + (KernelMemory.Bytes * ((LaunchShape*)more)->Addresses);
                    continue;
                default:
                    throw new ArgumentException($"There is no command of kind {command.Kind}.", nameof(commands));
            }

            more += TransferBuffers.Bytes;
        }

        *(Completion*)more = new Completion { Queue = GCHandle.ToIntPtr(_self) };
    }

    private void CaptureTarget(ref readonly Command command, ref CommandRecord record, nint source)
    {
        if (command.Target is MappedMemory { IsReadOnly: true })
        {
            throw new InvalidOperationException($"The memory {command.Target.Label} is another process's, which alone can write it.");
        }

        var target = BufferOf(command.Target);
        record.Target = StartOf(command.Target!, target) + command.TargetOffset;
        *(TransferBuffers*)record.More = new TransferBuffers { Target = target, Source = source };
    }

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

    private nint BufferOf(DeviceMemory? memory)
    {
        var buffer = _device.BufferOf(memory) ?? throw Foreign("memory", memory?.Label);

        // Throws where it is disposed.
        _ = memory!.Address;
        return buffer;
    }

    private static byte* StartOf(DeviceMemory memory, nint buffer) => buffer == 0 ? (byte*)memory.Address : null;
}
