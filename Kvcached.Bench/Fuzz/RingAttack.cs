using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices.Cpu;
using Kvcached.Kernels;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// One attached client: a long prefix of valid records, so that the engine holds much of it, with records and words mixed in that are more and more wrong, until it
/// breaks the protocol for certain, says goodbye or vanishes. As long as it keeps to the protocol the daemon may not disconnect it, and its views may cover no bytes that
/// another client's live views cover.
/// </summary>
internal sealed unsafe partial class RingAttack(HostileConnection connection, LiveCoverage coverage, ConnectionTally tally, int number, Random random, CancellationToken stop)
{
    private const int Slots = 32;
    private const int Batch = 64;

    /// <summary>Records behind the first one that may be an offence.</summary>
    private const int SuspectRecords = 60;

    private static readonly TimeSpan _beginLimit = TimeSpan.FromSeconds(20);

    /// <summary>How long a step may wait before it may be for what this client's own live steps pin.</summary>
    private static readonly TimeSpan _ownLimit = TimeSpan.FromMilliseconds(20);

    /// <summary>How long one waits for a client that may have undone its own steps.</summary>
    private static readonly TimeSpan _suspectLimit = TimeSpan.FromSeconds(1);

    private readonly List<HostileLane> _lanes = [];
    private readonly List<long> _blockBytes = [];
    private readonly int[] _models = new int[Slots];
    private readonly Queue<ulong> _published = new();
    private readonly List<(uint Granule, long Bytes)> _entered = [];
    private readonly byte[] _body = new byte[4096];
    private RingProducer _ring = null!;
    private int _left;
    private bool _isSuspect;

    private bool IsOver => connection.IsCondemned || stop.IsCancellationRequested;

    private ref ulong Tail => ref *(ulong*)(connection.ClientArea + RingLayout.SubmissionTail);

    /// <summary>Runs the connection from its hello to its end.</summary>
    public void Run()
    {
        if (!TrySetUp())
        {
            tally.Failure ??= connection.IsClosed ? $"A well-behaved client was disconnected while it was set up: {connection.Reason ?? "no reason"}." : null;
            return;
        }

        _left = 50 + (int)(-Math.Log(1 - random.NextDouble()) * 3000);
        using (var scribbler = random.Next(12) == 0 ? new Scribbler(connection, _lanes.Count, random.Next()) : null)
        {
            _isSuspect = scribbler is not null;
            while (_left > 0 && !IsOver)
            {
                PutSome();
            }

            tally.Scribbled += scribbler?.Stop() ?? 0;
        }

        Finish();
    }

    /// <summary>All ends are signalled, whatever is under way: nothing of the client is left to wait for.</summary>
    public void EndAll()
    {
        if (connection.ClientArea is not null && connection.Welcome is { } welcome)
        {
            for (var lane = 0; lane < welcome.MaxLanes; lane++)
            {
                Volatile.Write(ref *(ulong*)(connection.ClientArea + RingLayout.TimelineAt(connection.RingBytes, lane)), ulong.MaxValue >> random.Next(16));
            }

            connection.Call();
        }
    }

    private bool TrySetUp()
    {
        var ringBytes = random.Next(4) == 0 ? RingLayout.LeastRing : 1 << random.Next(14, 19);
        var hello = new HelloMessage { Version = ControlFrame.Version, Tenant = $"hostile{number % 3}", Name = $"fuzz {number}", RingBytes = ringBytes };
        tally.Count("control: valid", 2);
        if (!connection.TryAttach(hello))
        {
            return false;
        }

        tally.IsAttached = true;
        _ring = new RingProducer(connection.ClientArea + RingLayout.Ring, connection.RingBytes, (ulong*)(connection.ClientArea + RingLayout.SubmissionTail), (ulong*)(connection.DaemonArea + RingLayout.SubmissionHead));
        Array.Fill(_models, -1);
        for (var models = random.Next(1, 4); models > 0; models--)
        {
            var granules = 1 << random.Next(0, 4);
            var layout = new LayoutMessage { Planes = 1, Layers = 1, Heads = granules, HeadDim = KvShape.GranuleBytes, ElementType = KvElementType.Byte, TokensPerBlock = 16, WindowTokens = random.Next(4) == 0 ? 48 : 0 };
            tally.Count("control: valid");
            if (connection.Ask(new RegisterModelMessage { Name = "fuzz", Layouts = [layout] }) is not ModelMessage model)
            {
                return false;
            }

            _blockBytes.Add((long)model.Shapes[0].BlockBytes);
        }

        for (var lanes = random.Next(1, 3); lanes > 0; lanes--)
        {
            var request = new OpenLaneMessage { Depth = random.Next(1, 7), MaxBatch = random.Next(1, 9), MaxLayouts = 1 };
            tally.Count("control: valid");
            if (connection.OpenLane(request) is not { } opened)
            {
                return false;
            }

            _lanes.Add(new HostileLane(connection, opened.Lane, opened.Views, request));
        }

        return true;
    }

    /// <summary>Offers some records and calls the daemon.</summary>
    private void PutSome()
    {
        for (var i = 0; i < Batch && _left > 0; i++, _left--)
        {
            var roll = random.Next(1000);
            var isPut = roll < 1 ? Corrupt() : roll < 3 && !_isSuspect ? ScribbleHarmlessly() : PutValid();
            if (!isPut)
            {
                break;
            }
        }

        connection.Call();
        CountRead();
        ReadCompletions();
    }

    private bool PutValid()
    {
        switch (random.Next(100))
        {
            case < 25:
                return Create();
            case < 45:
                return PutOf(SubmissionKind.Truncate, random.Next(0, 200));
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

        _models[slot] = model;
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

        lane.NoteBegun(slots[..count], _blockBytes[_models[first]]);
        tally.Steps++;
        return true;
    }

    /// <summary>Waits for the begin point of the lane's oldest step, looks at what its views cover, and ends it, or it and those behind it that have begun.</summary>
    private bool EndSome(HostileLane lane)
    {
        connection.Call();
        var started = Stopwatch.GetTimestamp();
        var oldest = lane.Ended + 1;
        while (lane.BegunValue < oldest)
        {
            ReadCompletions();
            var waited = Stopwatch.GetElapsedTime(started);
            if (IsOver || (_isSuspect && waited > _suspectLimit))
            {
                _left = 0;
                return false;
            }

            if (waited > _beginLimit)
            {
                tally.Failure ??= $"The begin point of step {oldest} of connection {number} was not reached within {_beginLimit.TotalSeconds} s: {Describe()}.";
                _left = 0;
                return false;
            }

            if (waited > _ownLimit)
            {
                EndBegun();
            }

            Thread.Yield();
        }

        if (lane.Ended >= oldest)
        {
            return true;
        }

        if (!_isSuspect)
        {
            Look(lane, oldest);
        }

        lane.End(random.Next(3) == 0 ? lane.Ended + 1 : Math.Min(lane.BegunValue, lane.Next - 1));
        return true;
    }

    /// <summary>Enters what the views of a step cover for as long as it is live.</summary>
    private void Look(HostileLane lane, ulong step)
    {
        var (views, blockBytes) = lane.ViewsOf(step);
        foreach (var view in views)
        {
            if ((long)view.RowStart + view.BlockCount > connection.Welcome!.EntriesBytes / sizeof(uint))
            {
                tally.Failure ??= $"A view of connection {number} names entries from {view.RowStart} to {view.RowStart + view.BlockCount}, outside the heap.";
                continue;
            }

            for (var block = view.FirstVisibleBlock; block < view.BlockCount; block++)
            {
                var granule = Volatile.Read(ref *(connection.Entries + view.RowStart + block));
                if (coverage.Enter(connection.Welcome.Client, granule, blockBytes))
                {
                    _entered.Add((granule, blockBytes));
                }
            }
        }

        _entered.ForEach(block => coverage.Leave(block.Granule, block.Bytes));
        _entered.Clear();
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

    /// <summary>Puts a record into the ring, once there is room.</summary>
    private bool Put(string name, SubmissionKind kind, ReadOnlySpan<byte> body)
    {
        Span<byte> place;
        RingStatus status;
        while ((status = _ring.TryReserve((uint)kind, body.Length, out place)) == RingStatus.Full)
        {
            connection.Call();
            CountRead();
            ReadCompletions();
            EndBegun();
            if (IsOver)
            {
                return false;
            }

            Thread.Yield();
        }

        if (status != RingStatus.Ok)
        {
            return false;
        }

        body.CopyTo(place);
        _ring.Publish();
        _published.Enqueue(Tail);
        tally.Count(name);
        return true;
    }

    /// <summary>Ends a step of each lane that has begun: the ring may stay full only while a step waits for what this client's own pin.</summary>
    private void EndBegun()
    {
        foreach (var lane in _lanes)
        {
            if (lane.Ended < Math.Min(lane.BegunValue, lane.Next - 1))
            {
                lane.End(lane.Ended + 1);
            }
        }
    }

    private string Describe() =>
        $"head {connection.SubmissionHead} of tail {Tail}; lanes {string.Join(", ", _lanes.Select(lane => $"begun {lane.BegunValue} ended {lane.Ended} next {lane.Next} depth {lane.Depth}"))}";

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

    private void CountRead()
    {
        var head = connection.SubmissionHead;
        while (_published.TryPeek(out var end) && end <= head)
        {
            _published.Dequeue();
            tally.RecordsRead++;
        }
    }

    private void ReadCompletions() =>
        Volatile.Write(ref *(ulong*)(connection.ClientArea + RingLayout.CompletionHead), Volatile.Read(ref *(ulong*)(connection.DaemonArea + RingLayout.CompletionTail)));

    private static ReadOnlySpan<byte> Bytes<T>(in T record)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in record));

    private static void Store(byte* area, long offset, ulong value) => Volatile.Write(ref *(ulong*)(area + offset), value);
}

/// <summary>A lane of a hostile client.</summary>
internal sealed unsafe class HostileLane(HostileConnection connection, LaneMessage lane, nint views, OpenLaneMessage options)
{
    private readonly ulong* _begin = (ulong*)(connection.DaemonArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly ulong* _end = (ulong*)(connection.ClientArea + RingLayout.TimelineAt(connection.RingBytes, (int)lane.Lane));
    private readonly (int Count, long BlockBytes)[] _steps = new (int, long)[options.Depth];

    public uint Index => lane.Lane;

    public int MaxBatch => options.MaxBatch;

    public int Depth => options.Depth;

    /// <summary>The step that is begun next.</summary>
    public ulong Next { get; private set; } = lane.FirstStep;

    /// <summary>The last step whose end this client has signalled.</summary>
    public ulong Ended { get; private set; } = lane.FirstStep - 1;

    public ulong BegunValue => Volatile.Read(ref *_begin);

    public bool HasRoom => Next <= Ended + (ulong)options.Depth;

    public void NoteBegun(ReadOnlySpan<int> slots, long blockBytes) => _steps[Next++ % (ulong)options.Depth] = (slots.Length, blockBytes);

    public void End(ulong step)
    {
        Ended = step;
        Volatile.Write(ref *_end, step);
    }

    /// <summary>The views of one of the last steps, and the bytes of its blocks.</summary>
    public (SequenceView[] Views, long BlockBytes) ViewsOf(ulong step)
    {
        var (count, blockBytes) = _steps[step % (ulong)options.Depth];
        var at = (SequenceView*)(views + (nint)((step % (ulong)options.Depth) * (ulong)options.MaxLayouts * (ulong)options.MaxBatch * SequenceView.Bytes));
        return (new ReadOnlySpan<SequenceView>(at, count).ToArray(), blockBytes);
    }
}
