using Kvcached.Memory;

namespace Kvcached.Sequences;

/// <summary>
/// What lies in a sequence's contiguous window for one layout. Its bytes are a copy of what the blocks hold, so they may be given up at any time
/// and gathered again. They are a block of the pool as large as a segment, which no other sequence shares.
/// </summary>
internal sealed class SequenceWindow
{
    /// <summary>Number of the block that its bytes are; −1 while it has none.</summary>
    public int Block = -1;

    /// <summary>Binary logarithm of the units that it has.</summary>
    public int Order;

    /// <summary>Tokens from the first one on that lie in it once the kernels of the steps committed so far have run.</summary>
    public int Tokens;

    /// <summary>What must be reached before the bytes that it got since its last step may be written.</summary>
    public Frontier Fresh;

    public bool HasBytes => Block >= 0;
}
