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
            _isSliding.Add(layout.WindowTokens > 0);
        }

        ChoosePoolAddress();
        for (var lanes = random.Next(1, 3); lanes > 0; lanes--)
        {
            var request = new OpenLaneMessage { Depth = random.Next(1, 7), MaxBatch = random.Next(1, 9), MaxLayouts = 1, PoolAddress = _poolAddress };
            tally.Count("control: valid");
            if (connection.OpenLane(request) is not { } opened)
            {
                return false;
            }

            _lanes.Add(new HostileLane(connection, opened.Lane, opened.Views, opened.Windows, request));
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

        LookAtWindows(lane, step, views, blockBytes);
        _entered.ForEach(block => coverage.Leave(block.Granule, block.Bytes));
        _entered.Clear();
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
