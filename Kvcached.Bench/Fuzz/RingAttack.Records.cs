using System.Runtime.InteropServices;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

// What keeps to the protocol.
internal sealed unsafe partial class RingAttack
{
    private bool PutValid()
    {
        switch (random.Next(100))
        {
            case < 25:
                return Create();
            case < 45:
                return PutOf(SubmissionKind.Truncate, random.Next(0, 200));
            case < 50:
                return PutWindow();
            case < 60:
                return PutOf(SubmissionKind.Commit, random.Next(0, 40));
            case < 66:
                return Free();
            case < 78:
                return Transfer();
            default:
                return Begin(_lanes[random.Next(_lanes.Count)]);
        }
    }

    private bool Create()
    {
        var slot = random.Next(Slots);
        if (_models[slot] >= 0)
        {
            return PutOf(SubmissionKind.Truncate, random.Next(0, 200));
        }

        var model = random.Next(_blockBytes.Count);
        var record = new CreateRecord { Slot = (uint)slot, Model = (uint)model, Id = (uint)random.Next() };
        if (!Put("create", SubmissionKind.Create, Bytes(in record)))
        {
            return false;
        }

        (_models[slot], _isOpen[slot]) = (model, false);
        return true;
    }

    private bool Free()
    {
        if (!TryChoose(out var slot))
        {
            return Create();
        }

        var record = new SequenceRecord { Slot = (uint)slot };
        if (!Put("free", SubmissionKind.Free, Bytes(in record)))
        {
            return false;
        }

        _models[slot] = -1;
        return true;
    }

    private bool PutOf(SubmissionKind kind, int value)
    {
        if (!TryChoose(out var slot))
        {
            return Create();
        }

        var record = new SequenceRecord { Slot = (uint)slot, Value = value };
        return Put(kind == SubmissionKind.Truncate ? "truncate" : "commit", kind, Bytes(in record));
    }

    private bool Transfer()
    {
        if (!TryChoose(out var slot))
        {
            return Create();
        }

        var record = new TransferRecord { Lane = (uint)random.Next(_lanes.Count), Slot = (uint)slot, Kind = (uint)random.Next(5), Most = random.Next(0, 8), Ticket = (ulong)random.NextInt64() };
        return Put("transfer", SubmissionKind.Transfer, Bytes(in record));
    }

    private bool Begin(HostileLane lane)
    {
        if (!TryChoose(out var first))
        {
            return Create();
        }

        if (!lane.HasRoom)
        {
            // Now and then whatever the daemon does is waited for; else there is other work meanwhile.
            if (lane.BegunValue <= lane.Ended && random.Next(64) > 0)
            {
                return PutOf(SubmissionKind.Truncate, random.Next(0, 200));
            }

            if (!EndSome(lane))
            {
                return false;
            }
        }

        var count = 0;
        Span<int> slots = stackalloc int[lane.MaxBatch];
        var most = random.Next(1, lane.MaxBatch + 1);
        for (var i = 0; i < Slots && count < most; i++)
        {
            var slot = (first + i) % Slots;
            if (_models[slot] == _models[first])
            {
                slots[count++] = slot;
            }
        }

        var length = BeginBody(lane.Index, lane.Next, slots[..count], random.Next(12) == 0 ? 200 : 20);
        if (!Put("begin", SubmissionKind.Begin, _body.AsSpan(0, length)))
        {
            return false;
        }

        lane.NoteBegun(slots[..count], _isOpen, _blockBytes[_models[first]]);
        tally.Steps++;
        return true;
    }

    private int BeginBody(uint lane, ulong step, ReadOnlySpan<int> slots, int tokens)
    {
        MemoryMarshal.Write(_body, new BeginRecord { Lane = lane, Count = (uint)slots.Length, Number = step });
        for (var i = 0; i < slots.Length; i++)
        {
            MemoryMarshal.Write(_body.AsSpan(BeginRecord.Bytes + (i * BeginItem.Bytes)), new BeginItem { Slot = (uint)slots[i], NewTokens = random.Next(0, tokens) });
        }

        return BeginRecord.Bytes + (slots.Length * BeginItem.Bytes);
    }

    private bool TryChoose(out int slot)
    {
        slot = random.Next(Slots);
        for (var i = 0; i < Slots; i++, slot = (slot + 1) % Slots)
        {
            if (_models[slot] >= 0)
            {
                return true;
            }
        }

        return false;
    }
}
