using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached;

/// <summary>One sequence of a step, and how many tokens the step appends to it: 0 to read it only.</summary>
public readonly record struct KvStepItem(KvSequence Sequence, int NewTokens);

/// <summary>
/// A lane: an ordered flow of steps. Points and view addresses of a step are known before the engine has placed a block, so a client never
/// waits for it.
/// <code>
///   var step = lane.Begin(batch);
///   queue.Submit([wait step.Begin], kernels(step.ViewsAddress()), step.End)     one queue, steps in order
/// </code>
/// Thread-safe.
/// </summary>
public abstract class KvLane
{
    private readonly DeviceTimeline _begin;
    private readonly DeviceTimeline _end;

    private protected KvLane(KvCache cache, DeviceTimeline begin, DeviceTimeline end)
    {
        Cache = cache;
        _begin = begin;
        _end = end;
    }

    /// <summary>Steps that may be begun and not yet observed as ended.</summary>
    public abstract int Depth { get; }

    /// <summary>Sequences in one step.</summary>
    public abstract int MaxBatch { get; }

    internal KvCache Cache { get; }

    /// <summary>
    /// Begins a step over a batch and returns at once. The caller then enqueues, on a queue of its own and in the order of the steps: wait for
    /// <see cref="KvStep.Begin"/>, kernels, signal <see cref="KvStep.End"/> — also where the step is Busy or refused: kernels then find refused
    /// views and nothing to do. With status TooManySteps nothing was begun: <see cref="KvCache.Pump"/>, or
    /// <see cref="KvCache.Wait"/> for the end of the oldest step, and call again.
    /// </summary>
    /// <exception cref="KvException">
    /// The batch is empty or larger than <see cref="MaxBatch"/>, names a sequence twice, one that is stale, foreign or of another model, or one that
    /// would have more than <see cref="KvLaneOptions.MaxPages"/> pages in a layout with page tables.
    /// </exception>
    public KvStep Begin(ReadOnlySpan<KvStepItem> batch)
    {
        var status = Begin(batch, out var number);
        return new KvStep(this, status, number);
    }

    /// <summary>What became of a step: one of the last <see cref="Depth"/>, Unknown otherwise.</summary>
    public abstract KvStepStatus StatusOf(ulong number);

    internal TimelinePoint BeginOf(ulong step) => new(_begin, step);

    internal TimelinePoint EndOf(ulong step) => new(_end, step);

    internal abstract ulong ViewsAddress(ulong step, int layout);

    internal abstract ulong WindowsAddress(ulong step, int layout);

    internal abstract void StoreWindows(ulong step, int layout, CommandList commands);

    internal abstract PageTable PageTable(ulong step, int layout);

    private protected abstract KvStepStatus Begin(ReadOnlySpan<KvStepItem> batch, out ulong number);

    private protected static KvException NoWindows() => new(KvError.InvalidArgument, "The lane was opened without windows.");
}

/// <summary>A step that has been begun.</summary>
public readonly record struct KvStep
{
    private readonly KvLane? _lane;

    internal KvStep(KvLane lane, KvStepStatus status, ulong number)
    {
        _lane = lane;
        Status = status;
        Number = number;
    }

    /// <summary>The step's number on its lane, from 1; 0 where the status is TooManySteps.</summary>
    public ulong Number { get; }

    /// <summary>What was known when Begin returned; what becomes of a Busy step, <see cref="KvLane.StatusOf"/> tells.</summary>
    public KvStepStatus Status { get; }

    /// <summary>Kernels wait for this point.</summary>
    public TimelinePoint Begin => Lane.BeginOf(Number);

    /// <summary>The client signals this point after its kernels.</summary>
    public TimelinePoint End => Lane.EndOf(Number);

    /// <summary>Device address of the views of a layout: a <see cref="SequenceView"/> for each item of the batch, in order.</summary>
    public ulong ViewsAddress(int layout = 0) => Lane.ViewsAddress(Number, layout);

    /// <summary>
    /// Where the page tables of a layout lie, one of the model's with <see cref="KvLayout.PageTable"/>: for kernels that take a block table or CSR
    /// arrays in place of views.
    /// </summary>
    /// <exception cref="KvException">
    /// The lane was opened with <see cref="KvLaneOptions.MaxPages"/> 0, the step's model has no such layout or it has none, or the step is not one of the lane's last.
    /// </exception>
    public PageTable PageTable(int layout = 0) => Lane.PageTable(Number, layout);

    /// <summary>
    /// Device address of ulong[batch]: the address of each sequence's window of a layout, 0 where it has none open or its view is refused. What
    /// contiguous kernels take as <c>KvBatch.Buffers</c>.
    /// </summary>
    /// <exception cref="KvException">The lane was opened without windows.</exception>
    public ulong WindowsAddress(int layout = 0) => Lane.WindowsAddress(Number, layout);

    /// <summary>
    /// Adds the launch that copies the step's new tokens from windows to blocks, for sequences with a window: after the kernels that write them
    /// there, before the end point. Kernels that write to both need none.
    /// </summary>
    /// <exception cref="KvException">The lane was opened without windows, the step's model has no such layout, or the step is not one of the lane's last.</exception>
    public void StoreWindows(CommandList commands, int layout = 0) => Lane.StoreWindows(Number, layout, commands);

    private KvLane Lane => _lane is null
        ? throw new KvException(KvError.InvalidArgument, "The default step is of no lane.")
        : Number > 0 ? _lane : throw new KvException(KvError.InvalidArgument, "No step was begun (TooManySteps): there are no points and no views.");
}
