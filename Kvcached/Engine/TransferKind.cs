namespace Kvcached.Engine;

/// <summary>Transfers of a sequence that a client may ask for apart from any step.</summary>
internal enum TransferKind
{
    /// <summary>Copy out what has no clean copy, and keep it on the device.</summary>
    Clean,

    /// <summary>Clean and drop.</summary>
    Evict,

    /// <summary>Reload what is not on the device.</summary>
    Prefetch,

    /// <summary>Move blocks to other places of the pool.</summary>
    Move,

    /// <summary>Join runs of blocks again.</summary>
    RestoreOrder,
}
