using System.Diagnostics;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Ends clients (I9). Nothing of a client is anyone's until nothing of it can write any more, be it kernels of its own or transfers that wait for them: one that is gone runs to its
/// end as if its kernels did nothing.
/// <code>
///   Condemn     no more commands; what waits is dropped; nothing is freed, live steps stay live
///   ProveGone   the host has proved that no kernel of it writes any more, and signals each end once the step has begun
///   over        In, Out, Begin and End of its lanes are observed up to the last value enqueued
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

        client.Life = RuleFaults.Is(RuleFault.ReclaimedBeforeProof) ? ClientLife.Gone : ClientLife.Condemned;
        state.Dying.Add(client);
        foreach (var lane in client.Lanes)
        {
            if (!RuleFaults.Is(RuleFault.WaitingStepOutlivesClient))
            {
                sequences.DropWaiting(lane);
            }

            if (!RuleFaults.Is(RuleFault.ReservationOfTheDead))
            {
                state.Reservation.Release(lane);
            }
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

    /// <summary>Reclaims the clients that are gone and whose steps and transfers are over.</summary>
    public void Run()
    {
        for (var i = state.Dying.Count - 1; i >= 0; i--)
        {
            var client = state.Dying[i];
            if (client.Life == ClientLife.Gone && (IsOver(client) || RuleFaults.Is(RuleFault.ReclaimedBeforeDrained)))
            {
                state.Dying.RemoveAt(i);
                Reclaim(client);
            }
        }
    }

    private bool IsOver(ClientState client)
    {
        foreach (var lane in client.Lanes)
        {
            if (lane.HasLive || !state.IsDrained(lane))
            {
                return false;
            }
        }

        return true;
    }

    private void Reclaim(ClientState client)
    {
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
