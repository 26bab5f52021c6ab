using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

// What breaks the protocol: for certain, or perhaps.
internal sealed unsafe partial class RingAttack
{
    private const string CorruptRing = "The submission ring is corrupt";

    /// <summary>What the daemon must say for the offence: one of these. Empty where something else may have been wrong before.</summary>
    private string[] _expected = [];
    private bool _hasEndedAll;

    /// <summary>Words that a client may write as it likes, as far as the daemon is concerned.</summary>
    private bool ScribbleHarmlessly()
    {
        tally.Count("words that nothing depends on");
        Store(connection.ClientArea, RingLayout.ClientSleeps, (ulong)random.NextInt64());
        Store(connection.ClientArea, RingLayout.ClientSleeps + 64, ulong.MaxValue);
        var lane = RingLayout.TimelineAt(connection.RingBytes, random.Next(_lanes.Count));
        for (var word = 1; word < 8; word++)
        {
            Store(connection.ClientArea, lane + (word * sizeof(ulong)), random.Next(2) == 0 ? ulong.MaxValue : (ulong)random.NextInt64());
        }

        return true;
    }

    /// <summary>A record or word that may be an offence, or may do what a valid one does.</summary>
    private bool Corrupt()
    {
        _left = _isSuspect ? _left : Math.Min(_left, SuspectRecords);
        _isSuspect = true;
        switch (random.Next(7))
        {
            case 0:
                random.NextBytes(_body.AsSpan(0, 64));
                return Put("mutated: random body", (SubmissionKind)random.Next(1, 10), _body.AsSpan(0, 8 * random.Next(0, 8)));
            case 1:
                return Put("mutated: bits of a body flipped", (SubmissionKind)random.Next(1, 10), Flipped());
            case 2:
                return Replay();
            case 3:
                tally.Count("end set to anything");
                Store(connection.ClientArea, RingLayout.TimelineAt(connection.RingBytes, random.Next(_lanes.Count)), random.Next(2) == 0 ? ulong.MaxValue >> random.Next(64) : (ulong)random.NextInt64());
                return true;
            case 4:
                tally.Count("completion head set to anything");
                Store(connection.ClientArea, RingLayout.CompletionHead, random.Next(2) == 0 ? ulong.MaxValue - (ulong)random.Next(64) : (ulong)random.NextInt64());
                return true;
            case 5:
                return RewritePublished();
            default:
                var record = new TransferRecord { Lane = 0, Slot = (uint)random.Next(Slots * 2), Kind = (uint)random.Next(6), Most = int.MaxValue >> random.Next(31), Ticket = ulong.MaxValue };
                return Put("mutated: transfer", SubmissionKind.Transfer, Bytes(in record));
        }
    }

    private ReadOnlySpan<byte> Flipped()
    {
        Span<int> slots = [random.Next(Slots), random.Next(Slots)];
        var lane = _lanes[random.Next(_lanes.Count)];
        var length = BeginBody(lane.Index, lane.Next, slots, 100);
        for (var bits = random.Next(1, 6); bits > 0; bits--)
        {
            _body[random.Next(length)] ^= (byte)(1 << random.Next(8));
        }

        return _body.AsSpan(0, length);
    }

    /// <summary>A record once more that has been read, as far as it still lies in the ring.</summary>
    private bool Replay()
    {
        var ring = connection.ClientArea + RingLayout.Ring;
        var offset = random.Next(connection.RingBytes / 8) * 8;
        var length = (int)Math.Min(*(uint*)(ring + offset) & ~7u, (uint)Math.Min(connection.RingBytes - offset, 512));
        var kind = *(uint*)(ring + offset + 4);
        return length <= 8 || kind == 0 || Put("replayed", (SubmissionKind)kind, new ReadOnlySpan<byte>(ring + offset + 8, length - 8));
    }

    /// <summary>Writes over the last record after it was published.</summary>
    private bool RewritePublished()
    {
        var offset = (long)((Tail - 16) & (ulong)(connection.RingBytes - 1));
        tally.Count("rewritten after publishing");
        Store(connection.ClientArea, RingLayout.Ring + offset, (ulong)random.NextInt64());
        return true;
    }

    /// <summary>Ends the connection: mostly by an offence, for which the daemon must give a reason.</summary>
    private void Finish()
    {
        var isGone = connection.IsCondemned;
        if (!isGone && random.Next(10) is 0 or 1)
        {
            Leave();
            return;
        }

        if (!isGone)
        {
            Offend();
            connection.Call();
        }

        tally.IsOffender = true;
        if (!AwaitsClose())
        {
            tally.Failure ??= $"Connection {number} broke the protocol and was not disconnected within {HostileConnection.Patience.TotalSeconds} s; the last: {tally.Kinds.Keys.LastOrDefault()}.";
        }
        else if (connection.Reason is null)
        {
            tally.Failure ??= $"Connection {number} was disconnected without a reason.";
        }
        else if (!_hasEndedAll && _expected.Length > 0 && !Array.Exists(_expected, reason => connection.Reason.Contains(reason, StringComparison.Ordinal)))
        {
            tally.Failure ??= $"Connection {number} was disconnected for something else than its offence ({string.Join(" or ", _expected)}): {connection.Reason}";
        }
        else if (isGone && !_isSuspect)
        {
            tally.Failure ??= $"Connection {number} had kept to the protocol, and was disconnected: {connection.Reason}";
        }

        CountRead();
        tally.Reason = connection.Reason;
    }

    /// <summary>Whether the daemon disconnects this client. A record may stand behind a step that waits for what this client's own live steps pin: they are ended after a while.</summary>
    private bool AwaitsClose()
    {
        var started = Stopwatch.GetTimestamp();
        while (!connection.LooksClosed(TimeSpan.FromMilliseconds(500)))
        {
            if (Stopwatch.GetElapsedTime(started) > HostileConnection.Patience)
            {
                return false;
            }

            _hasEndedAll = true;
            EndAll();
        }

        return true;
    }

    /// <summary>Says goodbye, or closes the connection, with steps under way or not.</summary>
    private void Leave()
    {
        if (random.Next(2) == 0)
        {
            tally.Count("control: goodbye");
            connection.Send(ControlFrame.Write(new GoodbyeMessage()), []);
            connection.LooksClosed(HostileConnection.Patience);
        }
        else
        {
            tally.Count("vanished");
        }
    }

    /// <summary>Breaks the protocol for certain.</summary>
    private void Offend()
    {
        var wasSuspect = _isSuspect;
        _isSuspect = true;
        if (random.Next(3) == 0)
        {
            OffendByWords();
        }
        else
        {
            PutOffence();
        }

        _expected = wasSuspect ? [] : _expected;
    }

    private void OffendByWords()
    {
        var tail = Tail;
        var (name, value) = random.Next(5) switch
        {
            0 => ("tail behind the head", connection.SubmissionHead - 8),
            1 => ("tail in the middle of a record", tail + 4),
            2 => ("tail beyond the ring", connection.SubmissionHead + (2 * (ulong)connection.RingBytes) + 8 + ((ulong)random.NextInt64(1 << 20) * 8)),
            3 => ("tail of all ones", ulong.MaxValue),
            _ => ("tail far ahead", tail + (1UL << 63)),
        };
        tally.Count($"offence: {name}");
        _expected = [CorruptRing];
        Store(connection.ClientArea, RingLayout.SubmissionTail, value);
    }

    /// <summary>A record with one thing wrong: all else is as in a valid one, so that no other check catches it.</summary>
    private void PutOffence()
    {
        const string NoSequence = "There is no sequence in slot";
        var lane = _lanes[0];
        var slot = TryChoose(out var chosen) ? chosen : -1;
        Span<int> one = [slot >= 0 ? slot : Slots + 1];
        Span<int> none = [Slots + 1];
        Span<int> twice = [one[0], one[0]];

        // A step may be one too many, too, and a client without sequences names one that is none.
        var early = lane.HasRoom ? "\0" : "has not ended";
        var missing = slot >= 0 ? "\0" : NoSequence;
        _expected = random.Next(18) switch
        {
            0 => Offence("unknown kind", (SubmissionKind)random.Next(10, int.MaxValue), 8, "There is no record of kind"),
            1 => Offence("body too short", SubmissionKind.Create, 8, "Create with 8 bytes"),
            2 => Offence("body too long", SubmissionKind.Free, new SequenceRecord { Slot = (uint)one[0] }, 64, "Free with 64 bytes"),
            3 => Offence("slot out of range", SubmissionKind.Create, new CreateRecord { Slot = (uint)connection.Welcome!.MaxSequences + (uint)random.Next() }, "or not below"),
            4 => Offence("no such model", SubmissionKind.Create, new CreateRecord { Slot = Slots + 5, Model = (uint)_blockBytes.Count }, "There is no model"),
            5 => Offence("free of nothing", SubmissionKind.Free, new SequenceRecord { Slot = Slots + 1 }, NoSequence),
            6 => Offence("negative tokens", SubmissionKind.Truncate, new SequenceRecord { Slot = (uint)one[0], Value = int.MinValue >> random.Next(31) }, " tokens.", missing),
            7 => Offence("negative commit", SubmissionKind.Commit, new SequenceRecord { Slot = (uint)one[0], Value = -1 }, "-1 tokens.", missing),
            8 => Offence("no such lane", SubmissionKind.Begin, BeginBody((uint)random.Next(_lanes.Count, int.MaxValue), lane.Next, one, 4), "There is no lane"),
            9 => Offence("no such step", SubmissionKind.Begin, BeginBody(0, random.Next(3) == 0 ? ulong.MaxValue : lane.Next + (ulong)random.Next(1, 100), one, 4), "its next is"),
            10 => Offence("empty slot in a step", SubmissionKind.Begin, BeginBody(0, lane.Next, none, 4), NoSequence, early),
            11 => Offence("a sequence twice in a step", SubmissionKind.Begin, BeginBody(0, lane.Next, twice, 4), "stands twice", "the lane takes 1.", early, missing),
            12 => Offence("a step of nothing", SubmissionKind.Begin, BeginBody(0, lane.Next, [], 4), "A batch of 0 sequences", early),
            13 => CountMismatch(lane, one),
            14 => Offence("no such transfer", SubmissionKind.Transfer, new TransferRecord { Slot = (uint)one[0], Kind = (uint)random.Next(5, int.MaxValue) }, "There is no transfer"),
            15 => Offence("window of no layout", (SubmissionKind)random.Next(7, 9), new SequenceRecord { Slot = (uint)one[0], Value = random.Next(2) == 0 ? random.Next(1, int.MaxValue) : int.MinValue >> random.Next(31) }, "layout is ", missing),
            16 => Offence("measure of no window", SubmissionKind.MeasureWindow, new WindowRecord { Slot = (uint)one[0], Layout = random.Next(1, int.MaxValue) }, "layout is ", missing),
            _ => BadHeader(),
        };
    }

    private string[] CountMismatch(HostileLane lane, ReadOnlySpan<int> one)
    {
        var length = BeginBody(0, lane.Next, one, 4);
        MemoryMarshal.Write(_body.AsSpan(4), uint.MaxValue >> random.Next(31));
        _body[4] |= 2;
        return Offence("count that does not match", SubmissionKind.Begin, length, "sequences in a record of");
    }

    /// <summary>A header that no record can have, or padding where none belongs.</summary>
    private string[] BadHeader()
    {
        var (name, bytes, kind) = random.Next(5) switch
        {
            0 => ("length 0", 0u, 1u),
            1 => ("length that is no multiple of 8", 20u, 1u),
            2 => ("length beyond the tail", 4096u, 1u),
            3 => ("length of all ones", uint.MaxValue, 1u),
            _ => ("padding in the middle", 16u, 0u),
        };

        // Two records' worth, and far from the ring's end, where padding would belong.
        Span<byte> place;
        while (_ring.TryReserve(1, 8, out place) == RingStatus.Full && !IsOver)
        {
            connection.Call();
            EndBegun();
            ReadCompletions();
        }

        if (!place.IsEmpty)
        {
            fixed (byte* body = place)
            {
                *(uint*)(body - 8) = bytes;
                *(uint*)(body - 4) = kind;
            }

            _ring.Publish();
        }

        tally.Count($"offence: {name}");
        return place.IsEmpty ? [] : [CorruptRing];
    }

    private string[] Offence<T>(string name, SubmissionKind kind, in T record, params string[] reasons)
        where T : unmanaged => Offence(name, kind, in record, System.Runtime.CompilerServices.Unsafe.SizeOf<T>(), reasons);

    private string[] Offence<T>(string name, SubmissionKind kind, in T record, int length, params string[] reasons)
        where T : unmanaged
    {
        MemoryMarshal.Write(_body, in record);
        return Offence(name, kind, length, reasons);
    }

    /// <summary>Puts the record that lies in the body.</summary>
    /// <returns>What the daemon must say, if it is to read it.</returns>
    private string[] Offence(string name, SubmissionKind kind, int length, params string[] reasons) =>
        Put($"offence: {name}", kind, _body.AsSpan(0, length)) ? reasons : [];
}
