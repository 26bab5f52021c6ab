using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Engine;
using Kvcached.Protocol;
using Kvcached.Sequences;

namespace Kvcached.Server;

/// <summary>What became of a record.</summary>
internal enum CommandOutcome
{
    /// <summary>Done, or begun.</summary>
    Done,

    /// <summary>A sequence of the step has one that waits on another lane: to be tried again, with all that follows it, once points have been observed.</summary>
    Held,

    /// <summary>The client has seen a step end that the engine has not observed yet: to be tried again, with all that follows it, in the next turn.</summary>
    Early,
}

/// <summary>
/// Does what a client's records ask for. A record lies in memory of the daemon's own by now; everything that it says is checked before anything is
/// done, and what cannot be is an offence (<see cref="ProtocolException"/>). One thread; allocates nothing.
/// </summary>
internal sealed class ClientCommands(CacheEngine engine, ClientState client, int maxSequences)
{
    private readonly SequenceHandle[] _slots = new SequenceHandle[maxSequences];
    private readonly List<LaneState> _lanes = [];
    private readonly List<int> _models = [];
    private StepRequest[] _batch = new StepRequest[256];

    /// <summary>The step that was held because the lane had no room as far as had been observed.</summary>
    private (uint Lane, ulong Step) _early;

    /// <summary>Sequences that the client holds.</summary>
    public int Sequences { get; private set; }

    /// <summary>Number, among the client's own, that its next model gets.</summary>
    public uint AddModel(int model)
    {
        _models.Add(model);
        return (uint)_models.Count - 1;
    }

    public int Models => _models.Count;

    public void AddLane(LaneState lane) => _lanes.Add(lane);

    /// <summary>Does what a record asks for.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="body">Its body, in memory that no client can write.</param>
    /// <param name="answer">Of a record with a ticket: the answer.</param>
    /// <exception cref="ProtocolException">The record asks for what cannot be.</exception>
    public CommandOutcome Execute(SubmissionKind kind, ReadOnlySpan<byte> body, out TicketRecord? answer)
    {
        answer = null;
        try
        {
            switch (kind)
            {
                case SubmissionKind.Begin:
                    return Begin(body);
                case SubmissionKind.Create:
                    Create(Read<CreateRecord>(body, kind));
                    break;
                case SubmissionKind.Free:
                    Free(Read<SequenceRecord>(body, kind));
                    break;
                case SubmissionKind.Truncate:
                    Truncate(Read<SequenceRecord>(body, kind));
                    break;
                case SubmissionKind.Commit:
                    Commit(Read<SequenceRecord>(body, kind));
                    break;
                case SubmissionKind.Transfer:
                    answer = Transfer(Read<TransferRecord>(body, kind));
                    break;
                case SubmissionKind.OpenWindow:
                    var opened = Read<SequenceRecord>(body, kind);
                    engine.Sequences.OpenWindow(client, Find(opened.Slot), opened.Value);
                    break;
                case SubmissionKind.CloseWindow:
                    var closed = Read<SequenceRecord>(body, kind);
                    engine.Sequences.CloseWindow(client, Find(closed.Slot), closed.Value);
                    break;
                case SubmissionKind.MeasureWindow:
                    var measured = Read<WindowRecord>(body, kind);
                    answer = new TicketRecord { Ticket = measured.Ticket, Count = engine.Sequences.WindowBytes(client, Find(measured.Slot), measured.Layout) };
                    break;
                default:
                    throw new ProtocolException($"There is no record of kind {(uint)kind}.");
            }
        }
        catch (KvException error)
        {
            throw new ProtocolException($"{kind}: {error.Message}", error);
        }

        return CommandOutcome.Done;
    }

    private CommandOutcome Begin(ReadOnlySpan<byte> body)
    {
        if (body.Length < BeginRecord.Bytes)
        {
            throw WrongLength(SubmissionKind.Begin, body.Length);
        }

        var record = MemoryMarshal.Read<BeginRecord>(body);
        var lane = FindLane(record.Lane);
        if (record.Count > (uint)lane.MaxBatch || body.Length != BeginRecord.Bytes + (record.Count * BeginItem.Bytes))
        {
            throw new ProtocolException($"A step of {record.Count} sequences in a record of {body.Length} bytes; the lane takes {lane.MaxBatch}.");
        }

        if (record.Number != lane.Begun + 1)
        {
            throw new ProtocolException($"Step {record.Number} of lane {record.Lane}; its next is {lane.Begun + 1}.");
        }

        if (record.Number > lane.Ended + (ulong)lane.Depth)
        {
            return HoldFor(record);
        }

        var items = MemoryMarshal.Cast<byte, BeginItem>(body[BeginRecord.Bytes..]);
        if (items.Length > _batch.Length)
        {
            _batch = new StepRequest[lane.MaxBatch];
        }

        for (var i = 0; i < items.Length; i++)
        {
            var handle = Find(items[i].Slot);
            var sequence = engine.State.Sequences[handle.Index];
            if (sequence.WaitingSteps > 0 && sequence.WaitingLane != lane.Number)
            {
                return CommandOutcome.Held;
            }

            _batch[i] = new StepRequest(handle, items[i].NewTokens);
        }

        engine.Begin(lane, _batch.AsSpan(0, items.Length));
        return CommandOutcome.Done;
    }

    /// <summary>The end that makes room was signalled before the record was written: one turn later it has been observed, or it never was signalled.</summary>
    private CommandOutcome HoldFor(in BeginRecord record)
    {
        if (_early == (record.Lane, record.Number))
        {
            throw new ProtocolException($"Step {record.Number} of lane {record.Lane}, which is {_lanes[(int)record.Lane].Depth} deep: step {_lanes[(int)record.Lane].Ended + 1} has not ended.");
        }

        _early = (record.Lane, record.Number);
        return CommandOutcome.Early;
    }

    private void Create(in CreateRecord record)
    {
        if (record.Slot >= (uint)_slots.Length || _slots[record.Slot] != default)
        {
            throw new ProtocolException($"Sequence slot {record.Slot} is in use, or not below {_slots.Length}.");
        }

        if (record.Model >= (uint)_models.Count)
        {
            throw new ProtocolException($"There is no model {record.Model}: the client has registered {_models.Count}.");
        }

        _slots[record.Slot] = engine.Sequences.Create(client, _models[(int)record.Model], record.Id);
        Sequences++;
    }

    private void Free(in SequenceRecord record)
    {
        engine.Sequences.Free(client, Find(record.Slot));
        _slots[record.Slot] = default;
        Sequences--;
    }

    /// <summary>A client that has not read yet that a step was refused counts its tokens in: more than there are is no offence here, or in a commit.</summary>
    private void Truncate(in SequenceRecord record)
    {
        var handle = Find(record.Slot);
        CheckCount(record.Value);
        engine.Sequences.Truncate(client, handle, Math.Min(record.Value, engine.State.Sequences[handle.Index].BegunTokens));
    }

    private void Commit(in SequenceRecord record)
    {
        var handle = Find(record.Slot);
        CheckCount(record.Value);
        var sequence = engine.State.Sequences[handle.Index];
        engine.Sequences.Commit(client, handle, Math.Min(record.Value, sequence.BegunTokens - sequence.CommittedTokens));
    }

    private TicketRecord Transfer(in TransferRecord record)
    {
        if (record.Kind > (uint)TransferKind.RestoreOrder || record.Most < 0)
        {
            throw new ProtocolException($"There is no transfer of kind {record.Kind} and {record.Most} blocks.");
        }

        return new TicketRecord
        {
            Ticket = record.Ticket,
            Count = engine.Transfers.Run((TransferKind)record.Kind, FindLane(record.Lane), Find(record.Slot), record.Most),
        };
    }

    private static void CheckCount(int count)
    {
        if (count < 0)
        {
            throw new ProtocolException($"{count} tokens.");
        }
    }

    private SequenceHandle Find(uint slot) => slot < (uint)_slots.Length && _slots[slot] != default
        ? _slots[slot]
        : throw new ProtocolException($"There is no sequence in slot {slot}.");

    private LaneState FindLane(uint lane) => lane < (uint)_lanes.Count
        ? _lanes[(int)lane]
        : throw new ProtocolException($"There is no lane {lane}: the client has opened {_lanes.Count}.");

    private static T Read<T>(ReadOnlySpan<byte> body, SubmissionKind kind)
        where T : unmanaged =>
        body.Length == Unsafe.SizeOf<T>() ? MemoryMarshal.Read<T>(body) : throw WrongLength(kind, body.Length);

    private static ProtocolException WrongLength(SubmissionKind kind, int bytes) => new($"A record of kind {kind} with {bytes} bytes.");
}
