namespace Kvcached;

/// <summary>
/// What became of a step. A refusal (NeverFits, NoRoom) is of the step as a whole, and marks every sequence of its batch: later steps go on
/// without them, their views say <c>Refused</c> and their token counts stay, until the client truncates or frees them. A client that goes on
/// after a refusal calls <c>sequence.Truncate(sequence.TokenCount)</c> for each, which keeps all tokens and clears the mark.
/// </summary>
public enum KvStepStatus
{
    /// <summary>
    /// Planned and committed: its begin point will be reached without further calls. Sequences that an earlier refusal marked are left out
    /// (<see cref="KvSequence.IsRefused"/>).
    /// </summary>
    Accepted = 0,

    /// <summary>
    /// Does not fit now, and may once points are observed; it holds its lane until then. Later calls serve it, or refuse it where all that was
    /// under way has been observed and made no room: <see cref="KvLane.StatusOf"/> tells.
    /// </summary>
    Busy = 1,

    /// <summary>Refused: more than the client's share or the pool can ever hold. Its views are refused views.</summary>
    NeverFits = 2,

    /// <summary>Refused: does not fit, and nothing that is under way will change that. Its views are refused views.</summary>
    NoRoom = 3,

    /// <summary>Refused: its sequences need more than their tenant may ever hold. Its views are refused views.</summary>
    OverQuota = 4,

    /// <summary>Not begun: as many steps as the lane is deep have not been observed as ended. No step number was used; call again later.</summary>
    TooManySteps = 5,

    /// <summary>The step number is too old, or no such step was begun.</summary>
    Unknown = 6,

    /// <summary>
    /// Sent to a daemon, which has not answered yet. Kernels are enqueued as ever; <see cref="KvLane.StatusOf"/> tells what has become of it. Until then its tokens
    /// are counted.
    /// </summary>
    Pending = 7,
}
