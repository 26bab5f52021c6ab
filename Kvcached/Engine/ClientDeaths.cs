using System.Diagnostics;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Ends clients (I9). What another may hurt itself by is kept until nothing of the client can write any more, be it kernels of its own or
/// transfers that wait for them.
/// <code>
///   Condemn     no more commands; what waits is dropped; nothing is freed, live steps stay live
///   ProveGone   the host has proved that no kernel of it writes any more, and signals its ends in its place
///   drained     In, Out and Begin of its lanes are observed up to the last value enqueued: only now do its ends count
///   Reclaim     sequences, models, lanes, client; their numbers may be others'
/// </code>
/// </summary>
internal sealed class ClientDeaths(EngineState state, SequenceCommands sequences)
{
    public void Condemn(ClientState client)
    {
        if (client.Life != ClientLife.Alive)
        {
            return;
        }

        client.Life = ClientLife.Condemned;
        state.Dying.Add(client);
        foreach (var lane in client.Lanes)
        {
            sequences.DropWaiting(lane);
            state.Reservation.Release(lane);
        }
    }

    public void ProveGone(ClientState client)
    {
        Condemn(client);
        if (client.Life == ClientLife.Condemned)
        {
            client.Life = ClientLife.Gone;
        }
    }

    /// <summary>Reclaims the clients that are gone and whose transfers are over.</summary>
    public void Run()
    {
        for (var i = state.Dying.Count - 1; i >= 0; i--)
        {
            var client = state.Dying[i];
            if (client.Life == ClientLife.Gone && IsDrained(client))
            {
                state.Dying.RemoveAt(i);
                Reclaim(client);
            }
        }
    }

    private bool IsDrained(ClientState client)
    {
        foreach (var lane in client.Lanes)
        {
            if (!state.IsDrained(lane))
            {
                return false;
            }
        }

        return true;
    }

    private void Reclaim(ClientState client)
    {
        foreach (var lane in client.Lanes)
        {
            if (lane.Planned > 0)
            {
                state.Timelines.Observe(Point.TimelineOf(lane.Number, TimelineKind.End), lane.Planned);
            }

            sequences.EndSteps(lane);
            state.UnpinTransfers(lane);
        }

        foreach (var sequence in state.Sequences.All)
        {
            if (sequence.InUse && sequence.Client == client.Number)
            {
                sequences.End(sequence);
            }
        }

        // What still waits, for the background queue, is no lane's of the client from here on.
        state.Promote();
        Debug.Assert(client.LiveBytes == 0 && client.LiveRowBytes == 0);
        foreach (var lane in client.Lanes)
        {
            state.Lanes.Free(lane.Number, null);
            state.Submitter.Close(lane.Number);
        }

        for (var model = 0; model < state.Models.Count; model++)
        {
            if (state.Models[model].Client == client.Number)
            {
                state.Models.Free(model, ModelState.None);
            }
        }

        client.Lanes.Clear();
        client.Life = ClientLife.Reclaimed;
        state.Clients.Free(client.Number, client);
    }
}
