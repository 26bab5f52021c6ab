using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// A queue of the cpu device: its thread runs the commands of a submission and signals.
/// <para>
/// Waking the thread costs more than a few small commands do. A submission that finds the chain empty, its points reached and its commands small is run by the submitting thread, and never
/// published: the thread is then past everything that was, having signalled it, and begins nothing before the next record is published, which only the submitter does.
/// </para>
/// </summary>
internal sealed unsafe class CpuQueue : HostQueue
{
    private readonly CpuDevice _device;
    private KernelLaunch[]? _launch;

    internal CpuQueue(CpuDevice device, string label)
        : base(device, label) => _device = device;

    private protected override byte* AddressOf(DeviceMemory? memory, out bool isReadOnly)
    {
        var own = memory as MappedMemory;
        isReadOnly = own is { IsReadOnly: true };
        return own != null && own.Device == _device ? (byte*)own.Address : throw Foreign("memory", memory?.Label);
    }

    private protected override void CaptureLaunch(ref readonly Command command, ref CommandRecord record, ref byte* more) =>
        record.Kernel = command.Kernel is CpuDeviceKernel own && own.Device == _device ? own.Index : throw Foreign("kernel", command.Kernel?.Name);

    private protected override bool TryRunAtOnce(SubmissionRecord* record)
    {
        if (!Chain.IsEmpty || !IsSmall(record) || !AreReached(record))
        {
            return false;
        }

        if (RunCommands(record))
        {
            SignalEnd(record);
        }

        return true;
    }

    private protected override SubmissionRecord* PeekNext() => Chain.Peek();

    private protected override bool StartNext(SubmissionRecord* record)
    {
        if (!RunCommands(record))
        {
            return false;
        }

        SignalEnd(record);
        Chain.Advance();
        return true;
    }

    private protected override void End()
    {
        if (_launch != null)
        {
            _device.ReleaseLaunch(_launch);
        }
    }

    /// <summary>Whether the commands are so few bytes' work that whoever submits them does not notice.</summary>
    private bool IsSmall(SubmissionRecord* record)
    {
        var left = (long)_device.InlineBytes;
        var commands = SubmissionRecord.CommandsOf(record);
        for (var i = 0; i < record->Commands && left >= 0; i++)
        {
            left = commands[i].Kind == CommandKind.Launch ? -1 : left - commands[i].Length - CommandRecord.Bytes;
        }

        return left >= 0 && _device.InlineBytes > 0;
    }

    private bool RunCommands(SubmissionRecord* record)
    {
        var commands = SubmissionRecord.CommandsOf(record);
        for (var i = 0; i < record->Commands && !IsEnding; i++)
        {
            ref var command = ref commands[i];
            switch (command.Kind)
            {
                case CommandKind.Copy:
                    Buffer.MemoryCopy(command.Source, command.Target, command.Length, command.Length);
                    break;
                case CommandKind.Fill:
                    NativeMemory.Fill(command.Target, (nuint)command.Length, command.FillValue);
                    break;
                case CommandKind.UpdateTable:
                    UpdateTable((uint*)command.Target, (TableEntry*)command.Payload, command.Length / Unsafe.SizeOf<TableEntry>());
                    break;
                case CommandKind.Launch:
                    Launch(command.Kernel, command.Payload);
                    break;
            }
        }

        return !IsEnding;
    }

    private static void UpdateTable(uint* table, TableEntry* entries, long count)
    {
        for (var i = 0L; i < count; i++)
        {
            table[entries[i].Index] = entries[i].Value;
        }
    }

    private void Launch(int index, byte* arguments)
    {
        ref readonly var kernel = ref _device.Kernels[index];
        try
        {
            var items = kernel.Items(arguments);
            ArgumentOutOfRangeException.ThrowIfNegative(items);
            if (items > 0)
            {
                _launch ??= _device.AcquireLaunch();
                _device.Team.Run(ref _launch[0], kernel, index, arguments, items);
            }
        }
        catch (Exception e)
        {
            _device.Lose(index, e);
        }
    }
}
