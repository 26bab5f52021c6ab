using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Kvcached.Devices;

/// <summary>What a command does.</summary>
public enum CommandKind : byte
{
    /// <summary>Copies bytes between two ranges that do not overlap.</summary>
    Copy,

    /// <summary>Fills a range with one byte value.</summary>
    Fill,

    /// <summary>Writes 32-bit entries of a table: (index, value) pairs in the payload.</summary>
    UpdateTable,

    /// <summary>Launches a kernel: its arguments are the payload.</summary>
    Launch,
}

/// <summary>One index and the value to write there.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
public readonly record struct TableEntry(uint Index, uint Value);

/// <summary>One command of a submission. Which fields mean something depends on <see cref="Kind"/>.</summary>
public record struct Command
{
    /// <summary>What to do.</summary>
    public CommandKind Kind { get; init; }

    /// <summary>Byte to fill with (Fill).</summary>
    public byte FillValue { get; init; }

    /// <summary>Where to write (Copy, Fill), or the table (UpdateTable).</summary>
    public DeviceMemory? Target { get; init; }

    /// <summary>First byte to write (Copy, Fill).</summary>
    public long TargetOffset { get; init; }

    /// <summary>Where to read (Copy).</summary>
    public DeviceMemory? Source { get; init; }

    /// <summary>First byte to read (Copy).</summary>
    public long SourceOffset { get; init; }

    /// <summary>Bytes to copy or fill.</summary>
    public long Bytes { get; internal set; }

    /// <summary>What to launch (Launch).</summary>
    public DeviceKernel? Kernel { get; init; }

    /// <summary>First byte of this command's payload in <see cref="CommandList.Payload"/>: a multiple of 16.</summary>
    public int PayloadOffset { get; init; }

    /// <summary>Bytes of payload: table entries (UpdateTable) or kernel arguments (Launch).</summary>
    public int PayloadBytes { get; internal set; }
}

/// <summary>
/// Builds the commands of a submission: cleared, filled, submitted, cleared again by one owner. Grows as needed and keeps its storage,
/// so a list in steady use allocates nothing. Ranges are checked when a command is added. Not thread-safe.
/// </summary>
public sealed class CommandList
{
    private const int PayloadAlignment = 16;

    // Copies of blocks that lie together are few commands, mostly: the submission in which they do not is to find room too.
    private Command[] _commands = new Command[128];
    private byte[] _payload = new byte[1024];
    private int _count;
    private int _payloadBytes;

    /// <summary>The commands so far. Valid until the next change.</summary>
    public ReadOnlySpan<Command> Commands => _commands.AsSpan(0, _count);

    /// <summary>The payloads of the commands so far. Valid until the next change.</summary>
    public ReadOnlySpan<byte> Payload => _payload.AsSpan(0, _payloadBytes);

    /// <summary>Whether there is nothing to do.</summary>
    public bool IsEmpty => _count == 0;

    /// <summary>Forgets all commands and keeps the storage.</summary>
    public void Clear()
    {
        _commands.AsSpan(0, _count).Clear();
        _count = 0;
        _payloadBytes = 0;
    }

    /// <summary>
    /// Copies <paramref name="bytes"/> bytes. The ranges must not overlap. A copy that goes on at both ends where the last command, a copy too, ends becomes one command with it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">A range lies outside its memory, or is empty.</exception>
    public void Copy(DeviceMemory target, long targetOffset, DeviceMemory source, long sourceOffset, long bytes)
    {
        CheckRange(target, targetOffset, bytes);
        CheckRange(source, sourceOffset, bytes);
        if (_count > 0 && IsContinuedBy(in _commands[_count - 1], target, targetOffset, source, sourceOffset, bytes))
        {
            _commands[_count - 1].Bytes += bytes;
            return;
        }

        Add(new Command
        {
            Kind = CommandKind.Copy,
            Target = target,
            TargetOffset = targetOffset,
            Source = source,
            SourceOffset = sourceOffset,
            Bytes = bytes,
        });
    }

    /// <summary>Fills <paramref name="bytes"/> bytes with <paramref name="value"/>. A fill that goes on where the last command, a fill with the same value, ends becomes one command with it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range lies outside the memory, or is empty.</exception>
    public void Fill(DeviceMemory target, long targetOffset, long bytes, byte value)
    {
        CheckRange(target, targetOffset, bytes);
        if (_count > 0 && _commands[_count - 1] is { Kind: CommandKind.Fill } last && last.Target == target && last.FillValue == value && last.TargetOffset + last.Bytes == targetOffset)
        {
            _commands[_count - 1].Bytes += bytes;
            return;
        }

        Add(new Command { Kind = CommandKind.Fill, Target = target, TargetOffset = targetOffset, Bytes = bytes, FillValue = value });
    }

    /// <summary>
    /// Writes one 32-bit entry of a table; the value is captured here. Consecutive calls for one table become one command.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The index lies outside the table.</exception>
    public void UpdateTable(DeviceMemory table, uint index, uint value)
    {
        ArgumentNullException.ThrowIfNull(table);
        if ((long)index * sizeof(uint) > table.Bytes - sizeof(uint))
        {
            throw new ArgumentOutOfRangeException(nameof(index), index, $"The index is not below the {table.Bytes / sizeof(uint)} entries of {table.Label}.");
        }

        var entryBytes = Unsafe.SizeOf<TableEntry>();
        if (_count == 0 || _commands[_count - 1].Kind != CommandKind.UpdateTable || _commands[_count - 1].Target != table)
        {
            var offset = Reserve(0);
            Add(new Command { Kind = CommandKind.UpdateTable, Target = table, PayloadOffset = offset });
        }

        EnsurePayload(_payloadBytes + entryBytes);
        MemoryMarshal.Write(_payload.AsSpan(_payloadBytes), new TableEntry(index, value));
        _payloadBytes += entryBytes;
        _commands[_count - 1].PayloadBytes += entryBytes;
    }

    /// <summary>Launches a kernel; the arguments are captured here.</summary>
    public void Launch<T>(DeviceKernel kernel, in T arguments)
        where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(kernel);
        var bytes = Unsafe.SizeOf<T>();
        var offset = Reserve(bytes);
        MemoryMarshal.Write(_payload.AsSpan(offset), arguments);
        Add(new Command { Kind = CommandKind.Launch, Kernel = kernel, PayloadOffset = offset, PayloadBytes = bytes });
    }

    /// <summary>The longer copy's ranges must not overlap either: the second may read what the first has written.</summary>
    private static bool IsContinuedBy(ref readonly Command last, DeviceMemory target, long targetOffset, DeviceMemory source, long sourceOffset, long bytes) =>
        last.Kind == CommandKind.Copy
        && last.Target == target
        && last.Source == source
        && last.TargetOffset + last.Bytes == targetOffset
        && last.SourceOffset + last.Bytes == sourceOffset
        && (target != source || Math.Abs(targetOffset - sourceOffset) >= last.Bytes + bytes);

    private static void CheckRange(DeviceMemory memory, long offset, long bytes)
    {
        ArgumentNullException.ThrowIfNull(memory);
        if (offset < 0 || bytes <= 0 || bytes > memory.Bytes - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} to {offset}+{bytes} do not lie in the {memory.Bytes} bytes of {memory.Label}.");
        }
    }

    private int Reserve(int bytes)
    {
        var offset = (_payloadBytes + PayloadAlignment - 1) & ~(PayloadAlignment - 1);
        EnsurePayload(offset + bytes);
        _payloadBytes = offset + bytes;
        return offset;
    }

    private void EnsurePayload(int bytes)
    {
        if (bytes > _payload.Length)
        {
            Array.Resize(ref _payload, Math.Max(bytes, _payload.Length * 2));
        }
    }

    private void Add(in Command command)
    {
        if (_count == _commands.Length)
        {
            Array.Resize(ref _commands, _count * 2);
        }

        _commands[_count++] = command;
    }
}
