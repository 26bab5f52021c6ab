namespace Kvcached;

/// <summary>Why a call was refused.</summary>
public enum KvError
{
    /// <summary>An argument is outside what the call accepts.</summary>
    InvalidArgument,

    /// <summary>The handle's object has been freed.</summary>
    StaleHandle,

    /// <summary>The handle is of another cache, model or client.</summary>
    ForeignHandle,

    /// <summary>A fixed capacity (sequences, lanes, layouts) is used up.</summary>
    CapacityExceeded,

    /// <summary>The cache has been disposed.</summary>
    Closed,

    /// <summary>The client has been disconnected: it died, or broke the rules, and no command of it is accepted any more.</summary>
    Disconnected,

    /// <summary>The daemon is gone, has been stopped, or has disconnected this client. Dispose the cache; another can be connected.</summary>
    DaemonLost,

    /// <summary>The daemon does not let this user in.</summary>
    NotAllowed,
}

/// <summary>
/// A call broke the contract. The message names the value and the limit; nothing has been changed. Outcomes that a correct program must
/// expect (no room, too many steps) are results, not exceptions: see <see cref="KvStepStatus"/>.
/// </summary>
public sealed class KvException(KvError error, string message) : Exception(message)
{
    /// <summary>What kind of error.</summary>
    public KvError Error { get; } = error;
}
