using System.Runtime.InteropServices;
using Kvcached.Devices.Linux;
using Kvcached.Engine;
using Kvcached.Memory;
using Kvcached.Protocol;

namespace Kvcached.Server;

/// <summary>
/// A connected client on the engine's thread: reads its records, does what they ask for, answers. What the client has written wrongly is an offence; the caller
/// condemns it for that.
/// </summary>
internal sealed class ClientSession : IDisposable
{
    private readonly CacheEngine _engine;
    private readonly StepLatencies _latencies;
    private readonly ClientCommands _commands;
    private readonly byte[] _record;
    private SubmissionKind _heldKind;
    private int _heldBytes;
    private bool _hasTold;

    public ClientSession(CacheEngine engine, ClientState client, SharedAreas areas, ClientIdentity identity, StepLatencies latencies, PidFd process, ControlConnection connection, int maxSequences)
    {
        (_engine, _latencies) = (engine, latencies);
        (Client, Areas, Identity, Process, Connection) = (client, areas, identity, process, connection);
        _commands = new ClientCommands(engine, client, maxSequences);
        _record = new byte[RingLayout.MostBody(areas.RingBytes)];
    }

    public ClientState Client { get; }

    public ClientIdentity Identity { get; }

    public SharedAreas Areas { get; }

    public PidFd Process { get; }

    public ControlConnection Connection { get; }

    public List<ServedLane> Lanes { get; } = [];

    /// <summary>Whether the client has said that it has mapped what it was given.</summary>
    public bool IsReady { get; set; }

    public int Sequences => _commands.Sequences;

    /// <summary>Why the client is served no more; null while it is.</summary>
    public string? Reason { get; set; }

    /// <summary>When it was condemned, in milliseconds of the server's clock.</summary>
    public long CondemnedAt { get; set; }

    /// <summary>Whether the client has said that none of its kernels runs any more.</summary>
    public bool SaidGoodbye { get; set; }

    public int Models => _commands.Models;

    public uint AddModel(int model) => _commands.AddModel(model);

    /// <summary>Checks that the steps of a lane go through the ring.</summary>
    /// <exception cref="KvException">They do not.</exception>
    public void CheckLane(KvLaneOptions options) =>
        KvCacheOptions.Check(nameof(options.MaxBatch), options.MaxBatch, 1, (RingLayout.MostBody(Areas.RingBytes) - BeginRecord.Bytes) / BeginItem.Bytes, 1);

    public void AddLane(LaneState lane)
    {
        _commands.AddLane(lane);
        Lanes.Add(new ServedLane(lane));
    }

    /// <summary>Reads up to so many records and does what they ask for.</summary>
    /// <returns>Whether there was any.</returns>
    /// <exception cref="ProtocolException">The client has written what it may not.</exception>
    public bool Serve(int most)
    {
        if (!IsReady || Reason is not null)
        {
            return false;
        }

        var served = 0;
        for (; served < most && TryTake(out var kind, out var bytes); served++)
        {
            var outcome = _commands.Execute(kind, _record.AsSpan(0, bytes), out var ticket);
            if (outcome != CommandOutcome.Done)
            {
                (_heldKind, _heldBytes) = (kind, bytes);
                return served > 0 || outcome == CommandOutcome.Early;
            }

            _heldKind = 0;
            if (kind == SubmissionKind.Begin)
            {
                // Answered at once: a client that is quick could begin as many steps as its lane is deep before the turn is over.
                var lane = (int)MemoryMarshal.Read<uint>(_record);
                Lanes[lane].NoteRead();
                Answer(lane);
            }

            if (ticket is { } answer)
            {
                Complete(CompletionKind.Ticket, in answer);
            }
        }

        return served > 0;
    }

    /// <summary>Tells the client what has become of its steps.</summary>
    /// <exception cref="ProtocolException">The client does not read what it is told.</exception>
    public void Answer()
    {
        for (var i = 0; i < Lanes.Count; i++)
        {
            var lane = Lanes[i];
            lane.Measure(_engine.State.Timelines.Observed(Point.TimelineOf(lane.State.Number, TimelineKind.Begin)), _latencies);
            Answer(i);
        }

        if (_hasTold)
        {
            _hasTold = false;
            Areas.Ring();
        }
    }

    private void Answer(int index)
    {
        var lane = Lanes[index];
        while (lane.Answered < lane.State.Planned)
        {
            Tell(index, ++lane.Answered);
        }

        if (lane.State.HasWaiting && lane.ToldBusy <= lane.State.Planned)
        {
            lane.ToldBusy = lane.State.Planned + 1;
            Tell(index, lane.ToldBusy);
        }
    }

    /// <summary>Gives back what it shared, once nothing of the client is left.</summary>
    public void Dispose()
    {
        Areas.Dispose();
        Process.Dispose();
    }

    private bool TryTake(out SubmissionKind kind, out int bytes)
    {
        if (_heldKind != 0)
        {
            (kind, bytes) = (_heldKind, _heldBytes);
            return true;
        }

        var status = Areas.Submissions.TryRead(_record, out var number, out bytes);
        kind = (SubmissionKind)number;
        return status switch
        {
            RingStatus.Ok => true,
            RingStatus.Empty => false,
            _ => throw new ProtocolException($"The submission ring is corrupt: {Areas.Submissions.Fault}."),
        };
    }

    private void Tell(int lane, ulong number)
    {
        var record = new StepAnswerRecord { Lane = (uint)lane, Status = (uint)CacheEngine.StatusOf(Lanes[lane].State, number), Number = number };
        Complete(CompletionKind.Step, in record);
    }

    private void Complete<T>(CompletionKind kind, in T record)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in record));
        var status = Areas.Completions.TryReserve((uint)kind, bytes.Length, out var body);
        if (status != RingStatus.Ok)
        {
            throw new ProtocolException(status == RingStatus.Full ? "The completion ring is full: the client does not read it." : $"The completion ring is corrupt: {Areas.Completions.Fault}.");
        }

        bytes.CopyTo(body);
        Areas.Completions.Publish();
        _hasTold = true;
    }
}

/// <summary>Who a client is.</summary>
/// <param name="Number">Never given twice by a daemon.</param>
/// <param name="Name">What it calls itself.</param>
/// <param name="Tenant">The tenant that it belongs to.</param>
/// <param name="Pid">Its process, as the kernel tells.</param>
internal sealed record ClientIdentity(int Number, string Name, string Tenant, int Pid);
