namespace Kvcached.Devices.Host;

/// <summary>What is checked and written down when a submission is made: the same for every device, but for where memory lies and how a kernel is launched.</summary>
internal abstract unsafe partial class HostQueue
{
    /// <summary>Bytes that a device adds behind the payload: a multiple of 16.</summary>
    private protected virtual int MeasureMore(ReadOnlySpan<Command> commands) => 0;

    /// <summary>Where memory of the device begins, as its commands name it.</summary>
    /// <param name="memory">The memory.</param>
    /// <param name="isReadOnly">Whether another process alone can write it.</param>
    /// <exception cref="ArgumentException">It is not of this device.</exception>
    private protected abstract byte* AddressOf(DeviceMemory? memory, out bool isReadOnly);

    /// <summary>Writes down what a device adds to a copy, a fill or a table update, at <paramref name="more"/>, and moves that past it.</summary>
    private protected virtual void CaptureTransfer(ref readonly Command command, ref CommandRecord record, ref byte* more)
    {
    }

    /// <summary>Writes down which kernel is launched, whose arguments are in the payload, and what a device adds, at <paramref name="more"/>, and moves that past it.</summary>
    /// <exception cref="ArgumentException">The kernel is not of this device, or cannot have such arguments.</exception>
    private protected abstract void CaptureLaunch(ref readonly Command command, ref CommandRecord record, ref byte* more);

    /// <summary>Writes down what a device adds at the record's end.</summary>
    private protected virtual void CaptureEnd(byte* more)
    {
    }

    private protected ArgumentException Foreign(string what, string? name) =>
        new($"The {what} {name} is not of the device that the queue {Label} is of ({Device.Name}).");

    /// <summary>Checks commands and writes them down, whose payload is captured already.</summary>
    private void CaptureCommands(ReadOnlySpan<Command> commands, CommandRecord* records, byte* payload, int payloadBytes)
    {
        var more = payload + SubmissionRecord.Align(payloadBytes);
        for (var i = 0; i < commands.Length; i++)
        {
            ref readonly var command = ref commands[i];
            ref var record = ref records[i];
            record = new CommandRecord { Kind = command.Kind, FillValue = command.FillValue };
            switch (command.Kind)
            {
                case CommandKind.Copy:
                    record.Target = TargetOf(command.Target) + command.TargetOffset;
                    record.Source = AddressOf(command.Source, out _) + command.SourceOffset;
                    record.Length = command.Bytes;
                    CaptureTransfer(in command, ref record, ref more);
                    break;
                case CommandKind.Fill:
                    record.Target = TargetOf(command.Target) + command.TargetOffset;
                    record.Length = command.Bytes;
                    CaptureTransfer(in command, ref record, ref more);
                    break;
                case CommandKind.UpdateTable:
                    record.Target = TargetOf(command.Target);
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    CaptureTransfer(in command, ref record, ref more);
                    break;
                case CommandKind.Launch:
                    record.Payload = payload + command.PayloadOffset;
                    record.Length = command.PayloadBytes;
                    CaptureLaunch(in command, ref record, ref more);
                    break;
                default:
                    throw new ArgumentException($"There is no command of kind {command.Kind}.", nameof(commands));
            }
        }

        CaptureEnd(more);
    }

    private byte* TargetOf(DeviceMemory? memory)
    {
        var address = AddressOf(memory, out var isReadOnly);
        return isReadOnly ? throw new InvalidOperationException($"The memory {memory?.Label} is another process's, which alone can write it.") : address;
    }

    private void CaptureSignal(TimelinePoint signal, SubmissionRecord* record)
    {
        var timeline = Own(signal.Timeline);
        timeline.CheckSignal(signal.Value);
        record->SignalSlot = timeline.Slot;
        record->SignalValue = signal.Value;
        record->SignalBell = timeline.Bell?.Capture() ?? default;
    }

    private void CaptureWaits(ReadOnlySpan<WaitPoint> waits, WaitRecord* records)
    {
        for (var i = 0; i < waits.Length; i++)
        {
            ref readonly var wait = ref waits[i];
            var timeline = Own(wait.Timeline);
            HostTimeline.CheckValue(wait.Value);
            records[i] = new WaitRecord(timeline.Slot, wait.Value, timeline.Access, timeline.IsForeign);
        }
    }

    private HostTimeline Own(DeviceTimeline timeline)
    {
        ArgumentNullException.ThrowIfNull(timeline);
        return timeline is HostTimeline own && own.Device == Device ? own : throw Foreign("timeline", timeline.Label);
    }
}
