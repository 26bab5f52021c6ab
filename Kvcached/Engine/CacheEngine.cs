using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>One sequence of a step that a client begins.</summary>
internal readonly record struct StepRequest(SequenceHandle Sequence, int NewTokens);

/// <summary>
/// The engine: a deterministic state machine. Commands and observed points go in; submissions and results come out. It has no thread, lock,
/// clock or I/O of its own, never waits, and allocates nothing in steady state. One thread at a time.
/// <code>
///   Observe… → Turn → command → Observe… → Turn → command …
/// </code>
/// Arguments are the host's to have checked where this says so; what only the engine can know throws <see cref="KvException"/> before
/// anything has changed.
/// </summary>
internal sealed partial class CacheEngine
{
    private readonly StepPlanner _planner;
    private readonly SequenceCommands _sequences;
    private readonly ClientDeaths _deaths;
    private readonly CleanAhead _cleanAhead;
    private readonly Compactor _compactor;
    private readonly Trimmer _trimmer;
    private readonly QuotaKeeper _quotas;
    private ulong _waits;
    private bool _hasNews;

    public CacheEngine(EngineOptions options, ISubmitter submitter)
    {
        State = new EngineState(options, submitter);
        var coldSlots = new ColdSlots(State);
        var loop = new TransferLoop(State, coldSlots);
        _compactor = new Compactor(State, loop, new SegmentEmptier(State, loop));
        _trimmer = new Trimmer(State, _compactor);
        var windows = new Windows(State);
        var room = new RoomMaker(State, loop, coldSlots, _compactor, windows);
        _planner = new StepPlanner(State, loop, room, windows);
        _sequences = new SequenceCommands(State, loop, windows);
        _deaths = new ClientDeaths(State, _sequences);
        Transfers = new SequenceTransfers(State, loop, room, _sequences, windows);
        Kernels = new StepKernels(State);
        _cleanAhead = new CleanAhead(State, loop, room);
        _quotas = new QuotaKeeper(State, loop, room, windows);
    }

    public EngineState State { get; }

    public ref readonly EngineCounters Counters => ref State.Counters;

    public SequenceCommands Sequences => _sequences;

    public SequenceTransfers Transfers { get; }

    public StepKernels Kernels { get; }

    /// <summary>Tells the host's clock, in milliseconds that never go back: it tells which tenants are idle, how long steps are held and when memory that was refused is asked for again, and nothing else.</summary>
    public void Tick(long milliseconds)
    {
        State.Tenants.Now = milliseconds;
        State.PoolMemory.Tick(State.Pool.Units, milliseconds);
    }

    /// <summary>
    /// Begins a step. Its number is the lane's next, so points and view slot were known before; what the status is, kernels find out from the
    /// views. A step that is Busy waits in the lane and is planned by a later <see cref="Turn"/>.
    /// </summary>
    /// <exception cref="KvException">
    /// The client has been condemned; or the batch is empty, too large, of several models, names a sequence twice or one that is not the client's, one with more pages than the
    /// lane's page tables hold, or one with a window on a lane without windows.
    /// </exception>
    public KvStepStatus Begin(LaneState lane, ReadOnlySpan<StepRequest> batch)
    {
        lane.Client.ThrowIfCondemned();
        var model = CheckBatch(lane, batch);
        var depth = (ulong)lane.Depth;
        if (lane.Begun + 1 > lane.Ended + depth)
        {
            return KvStepStatus.TooManySteps;
        }

        lane.Client.Tenant.LastUse = State.Tenants.Now;
        var number = ++lane.Begun;
        var step = lane.StepAt(number);
        step.Number = number;
        step.Count = batch.Length;
        step.Model = model;
        step.HasWindows = false;
        for (var i = 0; i < batch.Length; i++)
        {
            var windows = State.Sequences[batch[i].Sequence.Index].OpenWindows;
            step.HasWindows |= windows != 0;
            step.Items[i] = new StepItemState { Sequence = batch[i].Sequence, NewTokens = batch[i].NewTokens, TruncateAfter = -1, Windows = windows };
        }

        if (number == lane.Planned + 1 || RuleFaults.Is(RuleFault.StepOvertaken))
        {
            step.Status = Plan(lane, step);
            if (step.Status != KvStepStatus.Busy)
            {
                return step.Status;
            }

            lane.WaitingSince = ++_waits;
        }

        step.Status = KvStepStatus.Busy;
        State.Counters.BusySteps++;
        lane.Client.Tenant.Counters.BusySteps++;
        _sequences.NoteWaiting(lane, step);
        return KvStepStatus.Busy;
    }

    /// <summary>What became of a step.</summary>
    public static KvStepStatus StatusOf(LaneState lane, ulong number)
    {
        var step = lane.StepAt(number);
        return number > 0 && number <= lane.Begun && step.Number == number ? step.Status : KvStepStatus.Unknown;
    }

    /// <summary>Records that a timeline was read and had reached a value.</summary>
    public void Observe(int timeline, ulong value)
    {
        var lane = State.Lanes[timeline >> 2];
        var kind = (TimelineKind)(timeline & 3);
        if (lane is null || kind != TimelineKind.End)
        {
            _hasNews |= State.Timelines.Observe(timeline, value);
        }
        else
        {
            lane.Signalled = Math.Max(lane.Signalled, value);
        }

        if (lane is not null && kind is (TimelineKind.Begin or TimelineKind.End))
        {
            _hasNews |= State.Timelines.Observe(Point.TimelineOf(lane.Number, TimelineKind.End), EndedUpTo(lane));
        }
    }

    /// <summary>A client may signal what it likes: a step whose begin has not been observed has not ended, and its publish may be yet to run.</summary>
    private ulong EndedUpTo(LaneState lane)
    {
        var begun = State.Timelines.Observed(Point.TimelineOf(lane.Number, TimelineKind.Begin));
        return RuleFaults.Is(RuleFault.EndCountedFromBegin) ? begun
            : RuleFaults.Is(RuleFault.EndsOfTheGoneCountedEarly) && lane.Client.Life == ClientLife.Gone ? lane.Planned
            : RuleFaults.Is(RuleFault.EndBeforeBegin) ? lane.Signalled
            : Math.Min(lane.Signalled, begun);
    }

    /// <summary>Asks for the pool to be compacted, by turns to come.</summary>
    public void Compact() => _compactor.Request();

    /// <summary>Asks for the pool to be compacted, and for what comes free above the floor to lose its memory, by turns to come.</summary>
    public void Trim() => _trimmer.Request();

    /// <summary>Counts the shares of tenants anew, for who wants to show them.</summary>
    public void CountShares()
    {
        State.Plan++;
        State.Tenants.CountShares();
    }

    /// <summary>Whether points to come would let the engine go on with something that nobody will ask for again.</summary>
    public bool AwaitsPoints => HasWaiting() || !State.IsBackgroundIdle || State.Dying.Count > 0 || _compactor.IsRequested || _trimmer.IsTrimming;

    /// <summary>Acts on what has been observed: <see cref="Serve"/>, then <see cref="WorkInBackground"/>.</summary>
    public void Turn()
    {
        Serve();
        WorkInBackground();
    }

    /// <summary>Lets go of what observed points kept, and serves steps that wait.</summary>
    public void Serve()
    {
        if (_hasNews)
        {
            _hasNews = false;
            LetGo();
        }

        _deaths.Run();

        State.Reservation.Turn();
        ServeWaiting();
    }

    /// <summary>Compacts, trims and cleans ahead of need: behind what a caller wants now, whose transfers it would delay.</summary>
    public void WorkInBackground()
    {
        _quotas.Run();
        _compactor.Run();
        _trimmer.Run();
        _cleanAhead.Run();
    }

    /// <summary>Lets go of what observed points kept. Without news there is nothing: what is freed later is freed with what is known then.</summary>
    private void LetGo()
    {
        foreach (var lane in State.Lanes)
        {
            if (lane is not null)
            {
                _sequences.EndSteps(lane);
                State.UnpinTransfers(lane);
            }
        }

        State.Promote();
    }

    private void ServeWaiting()
    {
        // The lane that has waited longest goes first. One that was served stands behind the others with its next step.
        for (var after = 0UL; NextWaiting(after) is { } lane;)
        {
            after = lane.WaitingSince;
            while (lane.HasWaiting)
            {
                var step = lane.StepAt(lane.Planned + 1);
                var status = Plan(lane, step);
                if (status == KvStepStatus.Busy)
                {
                    break;
                }

                step.Status = status;
                _sequences.NoteServed(lane, step);
                if (lane.HasWaiting)
                {
                    lane.WaitingSince = ++_waits;
                }
            }
        }
    }

    private bool HasWaiting()
    {
        foreach (var lane in State.Lanes)
        {
            if (lane is { HasWaiting: true })
            {
                return true;
            }
        }

        return false;
    }

    private LaneState? NextWaiting(ulong after)
    {
        LaneState? next = null;
        foreach (var lane in State.Lanes)
        {
            if (lane is not null && lane.HasWaiting && lane.WaitingSince > after && (next is null || lane.WaitingSince < next.WaitingSince))
            {
                next = lane;
            }
        }

        return next;
    }

    private KvStepStatus Plan(LaneState lane, StepRecord step)
    {
        var status = _planner.TryCommit(lane, step);
        if (status == KvStepStatus.Busy)
        {
            return status;
        }

        if (status != KvStepStatus.Accepted)
        {
            _planner.Refuse(lane, step);
        }

        lane.Planned = step.Number;
        return status;
    }

    /// <summary>Checks a batch and returns its model.</summary>
    private int CheckBatch(LaneState lane, ReadOnlySpan<StepRequest> batch)
    {
        if (batch.Length == 0 || batch.Length > lane.MaxBatch)
        {
            throw new KvException(KvError.InvalidArgument, $"A batch of {batch.Length} sequences; it must have 1 to {lane.MaxBatch}.");
        }

        State.Plan++;
        var model = -1;
        for (var i = 0; i < batch.Length; i++)
        {
            var sequence = _sequences.Find(lane.Client, batch[i].Sequence);
            var newTokens = batch[i].NewTokens;
            if (newTokens < 0 || newTokens > SequenceCommands.MaxTokens - sequence.BegunTokens)
            {
                throw new KvException(KvError.InvalidArgument, $"{newTokens} new tokens for a sequence of {sequence.BegunTokens}; a sequence holds 0 to {SequenceCommands.MaxTokens}.");
            }

            if (sequence.Plan == State.Plan)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} stands twice in the batch.");
            }

            if (sequence.WaitingSteps > 0 && sequence.WaitingLane != lane.Number)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} has a step that waits on another lane; a sequence is on one lane at a time.");
            }

            if (model >= 0 && sequence.Model != model)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} is of another model than the batch's first.");
            }

            if (sequence.OpenWindows != 0 && lane.Windows is null)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} has a window; the lane was opened without windows.");
            }

            CheckPages(lane, sequence, newTokens);
            sequence.Plan = State.Plan;
            model = sequence.Model;
        }

        var layouts = State.Models[model].Layouts.Length;
        if (layouts > lane.MaxLayouts)
        {
            throw new KvException(KvError.InvalidArgument, $"The model has {layouts} layouts; the lane has views for {lane.MaxLayouts}.");
        }

        return model;
    }

    private void CheckPages(LaneState lane, SequenceState sequence, int newTokens)
    {
        if (lane.PageTables is not { } tables)
        {
            return;
        }

        foreach (ref readonly var layout in State.Models[sequence.Model].Layouts.AsSpan())
        {
            if (layout.HasPageTable && layout.BlocksFor(sequence.BegunTokens + newTokens) is var pages && pages > tables.MaxPages)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} would have {pages} pages; a page table of the lane holds {tables.MaxPages}.");
            }
        }
    }
}
