using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

// What clients do.
public sealed partial class SimulationRun
{
    private bool RunOperation(SimulatedClient client)
    {
        var sequence = Choose(client);
        var lane = client.Lanes[_random.Next(client.Lanes.Count)];
        if (sequence is null || (client.Sequences.Count < MaxSequences && _random.OneIn(12)))
        {
            Create(client);
            return true;
        }

        switch (_random.Next(100))
        {
            case < 60:
                return Step(client, lane);
            case < 65:
                Truncate(client, sequence, _random.Next(sequence.BegunTokens + 1));
                break;
            case < 69:
                Free(client, sequence);
                break;
            case < 71:
                Commit(client, sequence);
                break;
            case < 77:
                Act(SimulatedCommand.Clean, lane, sequence, static (engine, lane, handle, _) => engine.Clean(lane, handle));
                break;
            case < 84:
                Act(SimulatedCommand.Evict, lane, sequence, static (engine, lane, handle, _) => engine.Evict(lane, handle));
                break;
            case < 89:
                Act(SimulatedCommand.Prefetch, lane, sequence, static (engine, lane, handle, _) => engine.Prefetch(lane, handle));
                break;
            case < 94:
                Act(SimulatedCommand.Move, lane, sequence, static (engine, lane, handle, n) => engine.Move(lane, handle, n & 3, 1 + (n >> 2), background: false));
                break;
            default:
                Act(SimulatedCommand.MoveInBackground, lane, sequence, static (engine, lane, handle, n) => engine.Move(lane, handle, n & 3, 1 + (n >> 2), background: true));
                break;
        }

        return true;
    }

    /// <summary>Often the sequence of the operation before, on whichever lane: so commands meet what the last one left under way.</summary>
    private SimulatedSequence? Choose(SimulatedClient client)
    {
        if (client.Recent is null || !_random.OneIn(3))
        {
            client.Recent = client.Sequences.Count == 0 ? null : client.Sequences[_random.Next(client.Sequences.Count)];
        }

        return client.Recent;
    }

    private void Create(SimulatedClient client)
    {
        var handle = _host.Engine.Sequences.Create(client.State, client.Model);
        client.Sequences.Add(new SimulatedSequence(handle, _host.Engine.State.Sequences[handle.Index].Id));
        _coverage.Count(SimulatedCommand.Create);
    }

    private bool Step(SimulatedClient client, SimulatedLane lane)
    {
        var step = new SimulatedStep { Lane = lane };
        Span<StepRequest> batch = stackalloc StepRequest[MaxBatch];
        var count = 0;
        var wanted = 1 + _random.Next(MaxBatch);
        var start = _random.Next(client.Sequences.Count);
        for (var i = 0; i < client.Sequences.Count && count < wanted; i++)
        {
            var sequence = client.Sequences[(start + i) % client.Sequences.Count];
            if (sequence.Pending.Count > 0 && sequence.PendingLane != lane.State.Number)
            {
                continue;
            }

            var tokens = _random.OneIn(16) ? 0 : _random.OneIn(4) ? 1 + _random.Next(12) : 1 + _random.Next(2);
            batch[count++] = new StepRequest(sequence.Handle, tokens);
            step.Sequences.Add(sequence);
            step.Items.Add(new Expectation { SequenceId = sequence.Id, NewTokens = tokens });
        }

        if (count == 0)
        {
            return false;
        }

        foreach (var sequence in step.Sequences)
        {
            Meet(SimulatedCommand.Step, sequence);
        }

        step.Status = _host.Engine.Begin(lane.State, batch[..count]);
        if (step.Status == KvStepStatus.TooManySteps)
        {
            _coverage.TooManySteps++;
            return false;
        }

        step.Number = lane.State.Begun;
        _coverage.Count(SimulatedCommand.Step);
        for (var i = 0; i < count; i++)
        {
            Note(step.Sequences[i], new PendingAct(step, i, 0, Free: false), lane.State.Number);
        }

        if (!step.IsResolved)
        {
            lane.Waiting.Enqueue(step);
        }

        Launch(lane, step);
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
        Meet(SimulatedCommand.Truncate, sequence);
        _host.Engine.Sequences.Truncate(client.State, sequence.Handle, tokens);
        Note(sequence, new PendingAct(null, 0, tokens, Free: false), sequence.PendingLane);
        _coverage.Count(SimulatedCommand.Truncate);
    }

    private void Free(SimulatedClient client, SimulatedSequence sequence)
    {
        Meet(SimulatedCommand.Free, sequence);
        _host.Engine.Sequences.Free(client.State, sequence.Handle);
        client.Sequences.Remove(sequence);
        client.Recent = null;
        _coverage.Count(SimulatedCommand.Free);
    }

    private void Commit(SimulatedClient client, SimulatedSequence sequence)
    {
        var state = _host.Engine.State.Sequences.Find(sequence.Handle)!;
        _host.Engine.Sequences.Commit(client.State, sequence.Handle, _random.Next(state.BegunTokens - state.CommittedTokens + 1));
        _coverage.Count(SimulatedCommand.Commit);
    }

    private void Act(SimulatedCommand command, SimulatedLane lane, SimulatedSequence sequence, Func<SequenceTransfers, LaneState, SequenceHandle, int, int> act)
    {
        Meet(command, sequence);
        act(_host.Engine.Transfers, lane.State, sequence.Handle, _random.Next(16));
        _coverage.Count(command);
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
            foreach (var sequence in client.Sequences)
            {
                var state = _host.Engine.State.Sequences.Find(sequence.Handle)!;
                sequence.BegunTokens = state.BegunTokens;
                if (sequence.Pending.Count == 0 && (state.Tokens != sequence.Versions.Count || state.BegunTokens != state.Tokens || state.Refused != sequence.IsRefused))
                {
                    throw new InvalidOperationException($"Sequence {sequence.Id} has {state.Tokens} tokens ({state.BegunTokens} begun, refused: {state.Refused}); the program knows of {sequence.Versions.Count} (refused: {sequence.IsRefused}).");
                }
            }
        }
    }

    private void Meet(SimulatedCommand command, SimulatedSequence sequence)
    {
        var state = _host.Engine.State.Sequences.Find(sequence.Handle)!;
        var row = state.Rows[0];
        if (row.Count == 0)
        {
            _coverage.Meet(command, SimulatedBlockState.None, state.IsLive);
            return;
        }

        _coverage.Meet(command, StateOf(row[0]), state.IsLive);
        _coverage.Meet(command, StateOf(row[row.Count - 1]), state.IsLive);
    }

    private SimulatedBlockState StateOf(int number)
    {
        ref var block = ref _host.Engine.State.Blocks[number];
        var timelines = _host.Engine.State.Timelines;
        var copying = !timelines.IsObserved(block.CopyOut);
        if (!block.IsResident)
        {
            return copying ? SimulatedBlockState.Leaving : SimulatedBlockState.Cold;
        }

        if (block.Writer.Kind != TimelineKind.End && !timelines.IsObserved(block.Writer))
        {
            return SimulatedBlockState.Arriving;
        }

        return !block.IsClean ? SimulatedBlockState.Dirty : copying ? SimulatedBlockState.Cleaning : SimulatedBlockState.Clean;
    }
}
