namespace Kvcached;

/// <summary>
/// A contiguous window: device memory in which a sequence's tokens of one layout lie in order, with the strides of <see cref="KvModel.WindowShape"/>.
/// It is a copy of the blocks, in bytes of the pool that its sequence pins as it pins blocks.
/// <code>
///   wait step.Begin                the window has every token from before the step
///   kernels                        write the step's new tokens into the window, and attend to it
///   step.StoreWindows(commands)    the new tokens, from the window to the blocks
///   signal step.End
/// </code>
/// Every step begun while the window is open writes its new tokens to both, or the window goes wrong. It grows in place where the units behind it
/// are free, and else is gathered into a larger run: its address is each step's own. Where room is short, idle windows are given up before
/// anything is evicted, and their next step gathers them again. Thread-safe.
/// </summary>
public readonly record struct KvWindow
{
    internal KvWindow(KvSequence sequence, int layout) => (Sequence, Layout) = (sequence, layout);

    /// <summary>Whose tokens.</summary>
    public KvSequence Sequence { get; }

    /// <summary>Of which layout.</summary>
    public int Layout { get; }

    /// <summary>Bytes of the pool that it has now: 0 before its first step, and after it has been given up.</summary>
    /// <exception cref="KvException">The window is closed, or the sequence freed.</exception>
    public long Bytes => Sequence.Cache.WindowBytes(Sequence.Handle, Layout);

    /// <summary>Closes it, for steps begun later: its bytes are free once the steps before have ended.</summary>
    /// <exception cref="KvException">The window is closed, or the sequence freed.</exception>
    public void Close() => Sequence.Cache.CloseWindow(Sequence.Handle, Layout);
}
