using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// An account of its own of how long clients hold steps: for each lane, since which look the host has seen the begin of one step and not its end. A client is past its lease if,
/// and only if, one of its lanes has been like that for longer.
/// </summary>
internal sealed class LeaseChecks(EngineState state, long lease)
{
    private readonly Dictionary<int, (ulong Step, long Since)> _held = [];

    /// <summary>Looks at a client, and compares with what the engine says.</summary>
    /// <returns>Whether it is past its lease.</returns>
    /// <exception cref="InvalidOperationException">The engine says something else.</exception>
    public bool Look(ClientState client, long now, bool isPast)
    {
        var longest = 0L;
        foreach (var lane in client.Lanes)
        {
            var begun = state.Timelines.Observed(Point.TimelineOf(lane.Number, TimelineKind.Begin));
            var step = state.Timelines.Observed(Point.TimelineOf(lane.Number, TimelineKind.End)) + 1;
            if (begun < step)
            {
                _held.Remove(lane.Number);
                continue;
            }

            if (!_held.TryGetValue(lane.Number, out var held) || held.Step != step)
            {
                _held[lane.Number] = held = (step, now);
            }

            longest = Math.Max(longest, now - held.Since);
        }

        return isPast == longest > lease
            ? isPast
            : throw new InvalidOperationException($"Client {client.Number} has held a step for {longest} ms and is {(isPast ? "" : "not ")}past its lease of {lease} ms.");
    }
}
