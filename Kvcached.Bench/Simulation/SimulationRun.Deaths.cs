using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

// Clients that die in whatever they are doing, and those that come in their places.
public sealed partial class SimulationRun
{
    private const int QueuesOfALane = 3;

    /// <summary>Clients that have been condemned and not been reclaimed. Others have their places in the program.</summary>
    private readonly List<SimulatedClient> _dying = [];

    /// <summary>Lets a client die, or the host notice, or prove it. False where there is nothing to it.</summary>
    private bool EndClient(in SimulatedOperation operation, SimulatedClient client)
    {
        var isDone = operation.Command switch
        {
            SimulatedCommand.Kill => TryKill(client),
            SimulatedCommand.Condemn => TryCondemn(client),
            _ => TryProveGone(operation.Amount),
        };
        if (!isDone)
        {
            _options.Log?.Write(" nothing");
            return false;
        }

        _coverage.Count(operation.Command);
        return true;
    }

    /// <summary>Stops the kernels of a client where they are, for good. The host does not know: what the client had asked for still comes in.</summary>
    private bool TryKill(SimulatedClient client)
    {
        if (client.IsKilled)
        {
            return false;
        }

        client.IsKilled = true;
        client.Lanes.ForEach(lane => _sim.Kill(lane.Queue));
        _stalled = _stalled is not null && client.Lanes.Contains(_stalled) ? null : _stalled;
        _lost = _lost == client ? null : _lost;
        return true;
    }

    /// <summary>
    /// The host is done with a client, be it dead or not, and another comes. Not while as many are condemned as there are clients, since they hold what they pin, nor where the device has
    /// no room for the queues of another.
    /// </summary>
    private bool TryCondemn(SimulatedClient client)
    {
        if (_dying.Count == _clients.Count || _sim.Room < client.Lanes.Count * QueuesOfALane)
        {
            return false;
        }

        Condemn(client);
        return true;
    }

    private long Lease => _program.Setup.LeaseOperations * MillisecondsPerOperation;

    /// <summary>Condemns the clients that hold a step past their lease, dead or not.</summary>
    private void EndPastLease()
    {
        for (var i = 0; Lease > 0 && i < _clients.Count; i++)
        {
            var client = _clients[i];
            if (_leases.Look(client.State, _read * MillisecondsPerOperation, _host.Engine.IsPastLease(client.State, Lease)))
            {
                _coverage.Count(DeathEvent.PastLease, TryCondemn(client));
            }
        }
    }

    private void Condemn(SimulatedClient client)
    {
        var state = client.State;
        _coverage.Count(DeathEvent.WithLiveStep, state.HasLive);
        _coverage.Count(DeathEvent.WithWaitingStep, state.Lanes.Exists(lane => lane.HasWaiting));
        _coverage.Count(DeathEvent.WithReservation, state.Lanes.Exists(lane => _host.Engine.State.Reservation.Holder == lane));
        _coverage.Count(DeathEvent.OutlivedCondemnation, client.Lanes.Exists(lane => _sim.Pending(lane.Queue) > 0));
        _host.Engine.Condemn(state);
        if (client.Find(0) is { } sequence)
        {
            _checks.ExpectRefusal(client, sequence.Handle);
        }

        _settling.RemoveAll(client.Slots.Contains);
        _lost = _lost == client ? null : _lost;
        _dying.Add(client);
        var born = OpenClient(client.Setup);
        _clients[_clients.IndexOf(client)] = born;
        _coverage.Count(DeathEvent.FollowedByAnother, born.State.Lanes.Exists(lane => lane.Begun > 0));
    }

    /// <summary>The host proves that nothing of a condemned client can write any more: by then its kernels have stopped.</summary>
    private bool TryProveGone(int choice)
    {
        var condemned = _dying.FindAll(client => client.State.Life == ClientLife.Condemned);
        if (condemned.Count == 0)
        {
            return false;
        }

        ProveGone(condemned[choice % condemned.Count]);
        return true;
    }

    private void ProveGone(SimulatedClient client)
    {
        TryKill(client);
        client.Lanes.ForEach(lane => _sim.ObserveEnd(lane.Queue));
        var isDrained = client.State.Lanes.TrueForAll(_host.Engine.State.IsDrained);
        _coverage.Count(DeathEvent.WithTransfers, !isDrained);
        _coverage.Count(DeathEvent.AtRest, isDrained && !client.State.HasLive);
        _host.Engine.ProveGone(client.State);
    }

    /// <summary>Has the deaths noticed that have not been, and proves all that have been but those of <paramref name="except"/>.</summary>
    private void EndDying(SimulatedClient? except)
    {
        foreach (var client in _clients.FindAll(client => client.IsKilled))
        {
            Condemn(client);
        }

        foreach (var client in _dying.FindAll(client => client != except && client.State.Life == ClientLife.Condemned))
        {
            ProveGone(client);
        }
    }

    /// <summary>Nothing is left of clients that have died: no lane, nor what the device had for one.</summary>
    private void CheckReclaimed()
    {
        if (_dying.Count > 0)
        {
            throw new InvalidOperationException($"Client {_dying[0].State.Number} has died, and is {_dying[0].State.Life} when all has ended.");
        }

        var lanes = _host.Engine.State.Lanes;
        for (var number = 1; number < lanes.Count; number++)
        {
            var isOpen = lanes[number] is { } lane && _clients.Exists(client => client.State == lane.Client);
            if (isOpen != (lanes[number] is not null) || isOpen != (_sim.FindQueue($"lane {number} in") is not null) || isOpen != (_sim.FindQueue($"lane {number} out") is not null))
            {
                throw new InvalidOperationException($"Something of lane {number} is left, whose client has died.");
            }
        }
    }
}
