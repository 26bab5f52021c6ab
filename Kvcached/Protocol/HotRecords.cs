using System.Runtime.InteropServices;

namespace Kvcached.Protocol;

/// <summary>Kinds of record in the submission ring, from client to daemon.</summary>
internal enum SubmissionKind : uint
{
    /// <summary>A <see cref="CreateRecord"/>.</summary>
    Create = 1,

    /// <summary>A <see cref="SequenceRecord"/>; its value is 0.</summary>
    Free = 2,

    /// <summary>A <see cref="SequenceRecord"/>: the tokens to keep.</summary>
    Truncate = 3,

    /// <summary>A <see cref="SequenceRecord"/>: how many token ids are told.</summary>
    Commit = 4,

    /// <summary>A <see cref="BeginRecord"/>, followed by a <see cref="BeginItem"/> for each sequence.</summary>
    Begin = 5,

    /// <summary>A <see cref="TransferRecord"/>; answered by <see cref="CompletionKind.Ticket"/>: of how many blocks.</summary>
    Transfer = 6,

    /// <summary>A <see cref="SequenceRecord"/>: the layout.</summary>
    OpenWindow = 7,

    /// <summary>A <see cref="SequenceRecord"/>: the layout.</summary>
    CloseWindow = 8,

    /// <summary>A <see cref="WindowRecord"/>; answered by <see cref="CompletionKind.Ticket"/>: how many bytes the window has.</summary>
    MeasureWindow = 9,
}

/// <summary>Kinds of record in the completion ring, from daemon to client.</summary>
internal enum CompletionKind : uint
{
    /// <summary>A <see cref="StepAnswerRecord"/>: what has become of a step; once more where it was Busy.</summary>
    Step = 1,

    /// <summary>A <see cref="TicketRecord"/>: what a record with a ticket has asked for.</summary>
    Ticket = 2,
}

/// <summary>
/// Names a sequence, for as long as the client holds it: a slot of the client's choosing below the <c>maxSequences</c> that it was told.
/// <code>
///  byte  0      4       8    12
///        | Slot | Model | Id | 0 |
/// </code>
/// Id is what views of the sequence carry; the client chooses it, too.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct CreateRecord
{
    public const int Bytes = 16;

    public uint Slot;
    public uint Model;
    public uint Id;
    public uint Reserved;
}

/// <summary>
/// A command on one sequence.
/// <code>
///  byte  0      4
///        | Slot | Value |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct SequenceRecord
{
    public const int Bytes = 8;

    public uint Slot;
    public int Value;
}

/// <summary>
/// Begins the lane's next step.
/// <code>
///  byte  0      4       8        16
///        | Lane | Count | Number | Count × BeginItem |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct BeginRecord
{
    public const int Bytes = 16;

    public uint Lane;
    public uint Count;
    public ulong Number;
}

/// <summary>
/// One sequence of a step.
/// <code>
///  byte  0      4
///        | Slot | NewTokens |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct BeginItem
{
    public const int Bytes = 8;

    public uint Slot;
    public int NewTokens;
}

/// <summary>
/// Asks for transfers of a sequence apart from any step.
/// <code>
///  byte  0      4      8      12     16
///        | Lane | Slot | Kind | Most | Ticket |
/// </code>
/// Kind is 0 clean, 1 evict, 2 prefetch, 3 move (of up to Most blocks), 4 restore order. The answer carries the ticket.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct TransferRecord
{
    public const int Bytes = 24;

    public uint Lane;
    public uint Slot;
    public uint Kind;
    public int Most;
    public ulong Ticket;
}

/// <summary>
/// Asks how large an open window is.
/// <code>
///  byte  0      4        8
///        | Slot | Layout | Ticket |
/// </code>
/// The answer carries the ticket.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct WindowRecord
{
    public const int Bytes = 16;

    public uint Slot;
    public int Layout;
    public ulong Ticket;
}

/// <summary>
/// What has become of a step.
/// <code>
///  byte  0      4        8
///        | Lane | Status | Number |
/// </code>
/// Status is a <see cref="KvStepStatus"/>.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct StepAnswerRecord
{
    public const int Bytes = 16;

    public uint Lane;
    public uint Status;
    public ulong Number;
}

/// <summary>
/// What a record with a ticket has asked for: the blocks that transfers were enqueued of, or a window's bytes.
/// <code>
///  byte  0        8
///        | Ticket | Count |
/// </code>
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct TicketRecord
{
    public const int Bytes = 16;

    public ulong Ticket;
    public long Count;
}
