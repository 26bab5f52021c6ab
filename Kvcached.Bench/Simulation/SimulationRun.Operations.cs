using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

// What clients do.
public sealed partial class SimulationRun
{
    /// <summary>Does what the operation says. False if the engine was asked for nothing, or turned a step away.</summary>
    private bool Do(in SimulatedOperation operation, SimulatedClient client, SimulatedLane lane)
    {
        if (operation.Command == SimulatedCommand.Create)
        {
            return Create(client, operation.Slot);
        }

        if (operation.Command is SimulatedCommand.Compact or SimulatedCommand.Trim)
        {
            ShapePool(operation.Command);
            return true;
        }

        if (operation.Command == SimulatedCommand.Limit)
        {
            return Limit(client, operation.Amount);
        }

        if (operation.Command is SimulatedCommand.Kill or SimulatedCommand.Condemn or SimulatedCommand.ProveGone)
        {
            return EndClient(operation, client);
        }

        if (client.Find(operation.Slot) is not { } sequence)
        {
            _options.Log?.Write(" nothing");
            return false;
        }

        if (operation.Command == SimulatedCommand.Step)
        {
            return Step(client, lane, operation);
        }

        _options.Log?.Write($" sequence {sequence.Id}");
        switch (operation.Command)
        {
            case SimulatedCommand.Truncate:
                Truncate(client, sequence, operation.Amount % (sequence.BegunTokens + 1));
                break;
            case SimulatedCommand.Free:
                Free(client, sequence);
                break;
            case SimulatedCommand.Commit:
                Commit(client, sequence, operation.Amount);
                break;
            case SimulatedCommand.OpenWindow or SimulatedCommand.CloseWindow:
                return SwitchWindow(client, sequence, operation.Amount, operation.Command);
            default:
                Transfer(operation, lane, sequence);
                break;
        }

        return true;
    }

    private bool Limit(SimulatedClient client, int choice)
    {
        if (_tenants.Count == 0)
        {
            _options.Log?.Write(" nothing");
            return false;
        }

        var limits = _program.Setup.LimitsOf(choice, UnitBytes);
        _options.Log?.Write($" {limits}");
        _host.Engine.SetLimits(client.State.Tenant, limits);
        _coverage.Count(SimulatedCommand.Limit);
        return true;
    }

    private void ShapePool(SimulatedCommand command)
    {
        if (command == SimulatedCommand.Compact)
        {
            _host.Engine.Compact();
        }
        else
        {
            _host.Engine.Trim();
        }

        _coverage.Count(command);
    }

    private bool Create(SimulatedClient client, int slot)
    {
        if (client.FreeSlot(slot) is not { } free)
        {
            _options.Log?.Write(" nothing");
            return false;
        }

        var handle = _host.Engine.Sequences.Create(client.State, client.Model);
        client.Slots[free] = new SimulatedSequence(handle, _host.Engine.State.Sequences[handle.Index].Id);
        _options.Log?.Write($" sequence {client.Slots[free]!.Id}");
        _coverage.Count(SimulatedCommand.Create);
        return true;
    }

    private bool Step(SimulatedClient client, SimulatedLane lane, in SimulatedOperation operation)
    {
        var step = new SimulatedStep { Lane = lane };
        var endsEarly = operation.EndsEarly && client.Lanes.Count == 1;
        Span<StepRequest> batch = stackalloc StepRequest[ProgramSetup.MaxBatch];
        var count = 0;
        for (var i = 0; i < client.Slots.Length && count <= operation.Others; i++)
        {
            if (client.Slots[(operation.Slot + i) % client.Slots.Length] is not { } sequence || (sequence.Pending.Count > 0 && sequence.PendingLane != lane.State.Number))
            {
                continue;
            }

            var tokens = endsEarly ? 0 : operation.TokensOf(count);
            batch[count++] = new StepRequest(sequence.Handle, tokens);
            step.Sequences.Add(sequence);
            step.Items.Add(new Expectation { SequenceId = sequence.Id, NewTokens = tokens, Windows = sequence.Windows });
        }

        if (count == 0)
        {
            _options.Log?.Write(" nothing");
            return false;
        }

        foreach (var sequence in step.Sequences)
        {
            _census.Meet(SimulatedCommand.Step, sequence.Handle);
        }

        _census.BeforeRoomIsMade();
        step.Status = _host.Engine.Begin(lane.State, batch[..count]);
        _census.AfterRoomWasMade();
        _options.Log?.Write($" {string.Join(", ", step.Items.Select(item => $"sequence {item.SequenceId} +{item.NewTokens}"))}: {step.Status}");
        if (step.Status == KvStepStatus.TooManySteps)
        {
            _coverage.TooManySteps++;
            return false;
        }

        step.Number = lane.State.Begun;
        _coverage.Count(SimulatedCommand.Step);
        NoteStatus(step);
        for (var i = 0; i < count; i++)
        {
            Note(step.Sequences[i], new PendingAct(step, i, 0, Free: false), lane.State.Number);
        }

        if (!step.IsResolved)
        {
            lane.Waiting.Enqueue(step);
        }

        if (client.IsKilled)
        {
            // What the client had asked for before it died; its kernels are past running.
            _sim.Promise(new TimelinePoint(_host.Timeline(lane.State.Number, TimelineKind.End), step.Number));
        }
        else if (endsEarly)
        {
            _commands.Clear();
            lane.Queue.Submit([], _commands, new TimelinePoint(_host.Timeline(lane.State.Number, TimelineKind.End), step.Number));
        }
        else
        {
            Launch(lane, step);
        }

        return true;
    }

    /// <summary>Enqueues the step's kernel at once, whether the step has been planned or waits.</summary>
    private void Launch(SimulatedLane lane, SimulatedStep step)
    {
        var state = lane.State;
        _commands.Clear();
        _commands.Launch(_kernel, new StepKernelArguments
        {
            Step = _steps.Count,
            Views = state.ViewRing.Address + (ulong)state.ViewOffset(step.Number, 0),
            LayoutStride = (ulong)(state.ViewOffset(step.Number, 1) - state.ViewOffset(step.Number, 0)),
            Entries = _host.Entries.Address,
            Pool = _host.Pool.Address,
        });
        _steps.Add(step);
        for (var layout = 0; layout < 2; layout++)
        {
            if (step.Items.Exists(item => Engine.Windows.IsOpen(item.Windows, layout)))
            {
                state.Windows!.Store(_commands, step.Number, layout, _host.Engine.Kernels.WindowArguments(state, step.Number, layout));
            }
        }

        var begin = new TimelinePoint(_host.Timeline(state.Number, TimelineKind.Begin), step.Number);
        var end = new TimelinePoint(_host.Timeline(state.Number, TimelineKind.End), step.Number);
        if (!step.IsResolved)
        {
            // The engine has not enqueued the begin yet, and will not until points are observed.
            _sim.Promise(begin);
        }

        lane.Queue.Submit([new WaitPoint(begin.Timeline, begin.Value)], _commands, end);
    }

    private void Truncate(SimulatedClient client, SimulatedSequence sequence, int tokens)
    {
        _options.Log?.Write($" to {tokens} tokens");
        _census.Meet(SimulatedCommand.Truncate, sequence.Handle);
        _host.Engine.Sequences.Truncate(client.State, sequence.Handle, tokens);
        Note(sequence, new PendingAct(null, 0, tokens, Free: false), sequence.PendingLane);
        _coverage.Count(SimulatedCommand.Truncate);
    }

    private void Free(SimulatedClient client, SimulatedSequence sequence)
    {
        _census.Meet(SimulatedCommand.Free, sequence.Handle);
        NoteFreed(sequence);
        _host.Engine.Sequences.Free(client.State, sequence.Handle);
        client.Slots.AsSpan().Replace(sequence, null);
        _coverage.Count(SimulatedCommand.Free);
    }

    private void Commit(SimulatedClient client, SimulatedSequence sequence, int amount)
    {
        var state = _host.Engine.State.Sequences.Find(sequence.Handle)!;
        _host.Engine.Sequences.Commit(client.State, sequence.Handle, amount % (state.BegunTokens - state.CommittedTokens + 1));
        _coverage.Count(SimulatedCommand.Commit);
    }

    private void Transfer(in SimulatedOperation operation, SimulatedLane lane, SimulatedSequence sequence)
    {
        _census.Meet(operation.Command, sequence.Handle);
        _census.BeforeRoomIsMade();
        var transfers = _host.Engine.Transfers;
        var (from, count) = (operation.Amount & 3, 1 + (operation.Amount >> 2 & 3));
        var done = operation.Command switch
        {
            SimulatedCommand.Clean => transfers.Clean(lane.State, sequence.Handle),
            SimulatedCommand.Evict => transfers.Evict(lane.State, sequence.Handle),
            SimulatedCommand.Prefetch => transfers.Prefetch(lane.State, sequence.Handle),
            SimulatedCommand.Move => transfers.Move(lane.State, sequence.Handle, from, count, background: false),
            SimulatedCommand.MoveInBackground => transfers.Move(lane.State, sequence.Handle, from, count, background: true),
            SimulatedCommand.RestoreOrder => RestoreOrder(lane, sequence),
            _ => throw new ArgumentOutOfRangeException(nameof(operation), operation.Command, "No transfer."),
        };
        if (operation.Command is not SimulatedCommand.Evict)
        {
            _census.AfterRoomWasMade();
        }

        _options.Log?.Write($": {done} blocks");
        _coverage.Count(operation.Command);
    }

    private int RestoreOrder(SimulatedLane lane, SimulatedSequence sequence)
    {
        _runLengths.Before(sequence.Handle);
        var moved = _host.Engine.Transfers.RestoreOrder(lane.State, sequence.Handle);
        _runLengths.After(sequence.Handle);
        return moved;
    }

    private void Note(SimulatedSequence sequence, PendingAct act, int lane)
    {
        if (sequence.Pending.Count == 0)
        {
            _settling.Add(sequence);
        }

        sequence.Pending.Enqueue(act);
        sequence.PendingLane = lane;
    }

    /// <summary>Learns what became of steps that waited, and brings the program's idea of the sequences up to that.</summary>
    private void Settle()
    {
        foreach (var client in _clients)
        {
            foreach (var lane in client.Lanes)
            {
                while (lane.Waiting.TryPeek(out var step) && CacheEngine.StatusOf(lane.State, step.Number) is not KvStepStatus.Busy and var status)
                {
                    step.Status = status;
                    NoteStatus(step);
                    lane.Waiting.Dequeue();
                    _coverage.BusySteps += status == KvStepStatus.Accepted ? 1 : 0;
                }
            }
        }

        for (var i = _settling.Count - 1; i >= 0; i--)
        {
            _settling[i].Settle(ref _nextVersion);
            if (_settling[i].Pending.Count == 0)
            {
                _settling.RemoveAt(i);
            }
        }

        foreach (var client in _clients)
        {
            foreach (var slot in client.Slots)
            {
                if (slot is { } sequence)
                {
                    Compare(sequence);
                }
            }
        }
    }

    /// <summary>Holds the program's idea of a sequence against the engine's.</summary>
    private void Compare(SimulatedSequence sequence)
    {
        var state = _host.Engine.State.Sequences.Find(sequence.Handle)!;
        sequence.BegunTokens = state.BegunTokens;
        if (sequence.Pending.Count == 0 && (state.Tokens != sequence.Versions.Count || state.BegunTokens != state.Tokens || state.Refused != sequence.IsRefused || state.OpenWindows != sequence.Windows))
        {
            throw new InvalidOperationException($"Sequence {sequence.Id} has {state.Tokens} tokens ({state.BegunTokens} begun, refused: {state.Refused}, windows: {state.OpenWindows}); the program knows of {sequence.Versions.Count} (refused: {sequence.IsRefused}, windows: {sequence.Windows}).");
        }
    }
}
