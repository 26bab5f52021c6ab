using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

// Clients whose kernels make no progress, for a while or for ever.
public sealed partial class SimulationRun
{
    /// <summary>The lane whose kernels are held for a while.</summary>
    private SimulatedLane? _stalled;

    /// <summary>The client whose kernels are held until the end of the program.</summary>
    private SimulatedClient? _lost;

    private void Stall(in SimulatedOperation operation, SimulatedClient client, SimulatedLane lane)
    {
        if (client.IsKilled)
        {
            return;
        }

        if (operation.SwitchesStall)
        {
            SwitchStall(lane);
        }

        if (operation.StallsForEver && _lost is null)
        {
            _lost = client;
            client.Lanes.ForEach(own => _sim.Stall(own.Queue));
        }
    }

    /// <summary>Holds a lane's kernels for a while; or lets go of those that are held.</summary>
    private void SwitchStall(SimulatedLane lane)
    {
        if (_stalled is null)
        {
            _stalled = lane;
            _sim.Stall(lane.Queue);
            return;
        }

        if (_lost?.Lanes.Contains(_stalled) != true)
        {
            _sim.Resume(_stalled.Queue);
        }

        _stalled = null;
    }

    /// <summary>
    /// With one client stalled or condemned, and all else at rest, checks what the others wait for, and what a trim leaves when they have freed everything; then lets the
    /// client go on, or proves it gone. False if there is no rest.
    /// </summary>
    private bool TryCheckLiveness(SimulatedClient lost)
    {
        var state = _host.Engine.State;
        if (!TryRest())
        {
            return false;
        }

        LivenessCheck.Run(state, lost.State);
        foreach (var client in _clients)
        {
            if (client != lost)
            {
                FreeAll(client);
            }
        }

        if (!TryTrim() || !TryRest())
        {
            return false;
        }

        // Compaction for the trim has moved the client's blocks: what they left counts, too.
        LivenessCheck.Run(state, lost.State);
        if (lost.State.Life == ClientLife.Condemned)
        {
            ProveGone(lost);
        }
        else
        {
            lost.Lanes.ForEach(lane => _sim.Resume(lane.Queue));
        }

        _lost = null;
        return true;
    }

    /// <summary>Lets device and host go on until nothing changes: others pass a reservation once nothing has moved for as long as it is patient. False if there is no rest.</summary>
    private bool TryRest()
    {
        do
        {
            if (!TryDrain())
            {
                return false;
            }
        }
        while (_host.Engine.State.Reservation is { IsHeld: true, LetsPass: false });

        return true;
    }
}
