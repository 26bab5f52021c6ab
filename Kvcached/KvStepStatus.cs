namespace Kvcached;

/// <summary>What became of a step.</summary>
public enum KvStepStatus
{
    /// <summary>Planned and committed: its begin point will be reached without further calls.</summary>
    Accepted,

    /// <summary>Does not fit now and will once points are observed; it holds its lane until then. Later calls serve it.</summary>
    Busy,

    /// <summary>Refused: more than the client's share or the pool can ever hold. Its views are refused views.</summary>
    NeverFits,

    /// <summary>Refused: does not fit, and nothing that is under way will change that. Its views are refused views.</summary>
    NoRoom,

    /// <summary>Not begun: as many steps as the lane is deep have not been observed as ended. No step number was used; call again later.</summary>
    TooManySteps,

    /// <summary>The step number is too old, or no such step was begun.</summary>
    Unknown,
}
