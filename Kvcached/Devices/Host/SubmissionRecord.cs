using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;

namespace Kvcached.Devices.Host;

/// <summary>
/// A captured submission, in native memory and without managed references, so that capturing one allocates nothing.
/// <code>
///  | SubmissionRecord | WaitRecord × Waits | CommandRecord × Commands | payload |
///    48 bytes           16 bytes each        48 bytes each              rounded up to 16, and what a device adds
/// </code>
/// Every part starts at a multiple of 16, and so do kernel arguments.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = HeaderBytes)]
internal unsafe struct SubmissionRecord
{
    internal const int HeaderBytes = 48;
    internal const int Alignment = 16;

    /// <summary>Size of the whole record; 0 says that the next record is in the next chunk.</summary>
    internal int Bytes;

    internal int Waits;
    internal int Commands;
    internal TimelineSlot* SignalSlot;
    internal ulong SignalValue;

    /// <summary>Rung after the signal.</summary>
    internal EventBell SignalBell;

    internal static int Measure(int waits, int commands, int payloadBytes) => checked(
        HeaderBytes + waits * WaitRecord.Bytes + commands * CommandRecord.Bytes + Align(payloadBytes));

    /// <summary>Bytes up to the next part, which begins at a multiple of <see cref="Alignment"/>.</summary>
    internal static int Align(int bytes) => (bytes + Alignment - 1) & ~(Alignment - 1);

    internal static WaitRecord* WaitsOf(SubmissionRecord* record) => (WaitRecord*)(record + 1);

    internal static CommandRecord* CommandsOf(SubmissionRecord* record) => (CommandRecord*)(WaitsOf(record) + record->Waits);

    internal static byte* PayloadOf(SubmissionRecord* record) => (byte*)(CommandsOf(record) + record->Commands);
}

/// <summary>A captured wait.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct WaitRecord
{
    internal const int Bytes = 16;

    /// <summary>Values take 48 bits.</summary>
    private const int AccessShift = 48;
    private const int ForeignShift = 56;

    internal TimelineSlot* Slot;
    private readonly ulong _valueAndAccess;

    internal WaitRecord(TimelineSlot* slot, ulong value, BellAccess access, bool isForeign = false)
    {
        Slot = slot;
        _valueAndAccess = value | (ulong)access << AccessShift | (isForeign ? 1UL << ForeignShift : 0);
    }

    internal readonly ulong Value => _valueAndAccess & DeviceTimeline.MaxValue;

    internal readonly BellAccess Access => (BellAccess)(byte)(_valueAndAccess >> AccessShift);

    /// <summary>As <see cref="HostTimeline.IsForeign"/>.</summary>
    internal readonly bool IsForeign => _valueAndAccess >> ForeignShift != 0;
}

/// <summary>A captured command: its addresses are resolved.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct CommandRecord
{
    internal const int Bytes = 48;

    internal CommandKind Kind;
    internal byte FillValue;

    /// <summary>What is launched; what a device copies by, if it says so there.</summary>
    internal int Kernel;
    internal byte* Target;
    internal byte* Source;

    /// <summary>Bytes to copy or fill, or of payload.</summary>
    internal long Length;

    internal byte* Payload;

    /// <summary>What a device adds, in the record behind the payload.</summary>
    internal byte* More;
}
