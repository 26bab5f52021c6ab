using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

// The end of a program.
public sealed partial class SimulationRun
{
    private const int DrainRounds = 1000;
    private const int QuietRounds = 4;

    /// <summary>Lets everything end, then checks that all steps were served, all waits met, and nothing is left.</summary>
    private void Finish()
    {
        // Whoever had the memory gives it back: what was refused is there to be had.
        _sim.RefusesMemory = 0;
        _host.Engine.Tick((_read * MillisecondsPerOperation) + PoolMemory.Pause);
        if (_stalled is not null)
        {
            SwitchStall(_stalled);
        }

        // With a client that has stalled, or one that was condemned and stays so, the others go on.
        var lost = _lost ?? _dying.Find(client => client.State.Life == ClientLife.Condemned);
        EndDying(except: lost);
        if ((lost is not null && !TryCheckLiveness(lost)) || !TryDrain())
        {
            return;
        }

        CheckReclaimed();

        foreach (var client in _clients)
        {
            foreach (var lane in client.Lanes)
            {
                if (_sim.Pending(lane.Queue) != 0 || lane.State.HasWaiting || lane.State.HasLive)
                {
                    throw new InvalidOperationException($"Lane {lane.State.Number} is stuck: begun {lane.State.Begun}, planned {lane.State.Planned}, ended {lane.State.Ended}, on its queue {_sim.Pending(lane.Queue)}.");
                }
            }

        }

        _tenantChecks.CheckAtRest();
        _clients.ForEach(FreeAll);
        if (!TryTrim())
        {
            return;
        }

        CheckEmpty("pool", _host.Engine.State.Pool);
        CheckEmpty("cold tier", _host.Engine.State.Cold.Pool);
        CheckEmpty("entry heap", _host.Engine.State.Rows.Pool);
        foreach (var client in _clients)
        {
            if (client.State.LiveBytes != 0 || client.State.LiveRowBytes != 0)
            {
                throw new InvalidOperationException($"Client {client.State.Number} pins {client.State.LiveBytes} bytes and {client.State.LiveRowBytes} of rows when all has ended.");
            }
        }
    }

    private void FreeAll(SimulatedClient client)
    {
        foreach (var slot in client.Slots)
        {
            if (slot is { } sequence)
            {
                _host.Engine.Sequences.Free(client.State, sequence.Handle);
            }
        }

        client.Slots.AsSpan().Clear();
    }

    /// <summary>Trims the pool and checks what is left. False if there is no rest.</summary>
    private bool TryTrim()
    {
        var arrived = _host.Engine.State.Pool.Units.Arrived;
        _host.Engine.Trim();
        if (!TryDrain())
        {
            return false;
        }

        _presence.CheckTrimmed(arrived);
        return true;
    }

    /// <summary>Lets device and host go on until neither has anything left to do. False if they go on for too long: nothing follows from that.</summary>
    private bool TryDrain()
    {
        var quiet = 0;
        for (var round = 0; round < DrainRounds; round++)
        {
            var (slices, submissions) = (_sim.Statistics.Slices, _sim.Statistics.Submissions);
            _sim.RunUntilIdle();
            Turn();
            quiet = (slices, submissions) == (_sim.Statistics.Slices, _sim.Statistics.Submissions) ? quiet + 1 : 0;
            if (quiet == QuietRounds)
            {
                return true;
            }
        }

        _inconclusive = $"the engine still submits after {DrainRounds} rounds without an operation";
        return false;
    }

    private static void CheckEmpty(string name, BlockPool pool)
    {
        if (pool.UsedBlocks != 0 || pool.UsedBytes != 0 || pool.HasPending)
        {
            throw new InvalidOperationException($"The {name} leaks: {pool.UsedBlocks} blocks, {pool.UsedBytes} bytes in use, {pool.PendingCount} pending when all has ended.");
        }
    }
}
