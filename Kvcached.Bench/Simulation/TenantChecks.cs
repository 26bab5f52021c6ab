using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

/// <summary>
/// Rules of tenants: none comes to hold more than it may; none is left with less than it is guaranteed by what others take; and what the engine counts is what sequences have.
/// Looked at around every operation and turn; changes nothing.
/// </summary>
internal sealed class TenantChecks(EngineState state)
{
    private readonly List<(long Resident, bool IsExempt)> _before = [];

    /// <summary>Call before an operation of a client, or before a turn (null), which serves steps that wait, and reclaims clients that have died.</summary>
    public void Before(ClientState? client)
    {
        _before.Clear();
        foreach (var tenant in state.Tenants.All)
        {
            var actsItself = client is not null
                ? client.Tenant == tenant
                : tenant.ResidentBytes > tenant.Limits.MaxBytes
                    || state.Lanes.Any(lane => lane is { HasWaiting: true } && lane.Client.Tenant == tenant)
                    || state.Dying.Exists(dying => dying.Tenant == tenant);
            _before.Add((tenant.ResidentBytes, actsItself));
        }
    }

    /// <summary>Call after it.</summary>
    /// <exception cref="InvalidOperationException">A tenant holds more than it may, or less than it is guaranteed.</exception>
    public void After()
    {
        for (var i = 0; i < _before.Count; i++)
        {
            var (tenant, before) = (state.Tenants[i], _before[i]);
            if (tenant.ResidentBytes > before.Resident && tenant.ResidentBytes > tenant.Limits.MaxBytes)
            {
                throw new InvalidOperationException($"Tenant {i} has come from {before.Resident} to {tenant.ResidentBytes} bytes on the device; it may hold {tenant.Limits.MaxBytes}.");
            }

            if (tenant.ResidentBytes < before.Resident && tenant.ResidentBytes < tenant.Limits.MinBytes && !before.IsExempt)
            {
                throw new InvalidOperationException($"Others have taken tenant {i} from {before.Resident} to {tenant.ResidentBytes} bytes on the device; it is guaranteed {tenant.Limits.MinBytes}.");
            }
        }
    }

    /// <summary>Holds what is counted for each tenant against its sequences.</summary>
    /// <exception cref="InvalidOperationException">Something else is counted.</exception>
    public void CheckBooks()
    {
        foreach (var tenant in state.Tenants.All)
        {
            long resident = 0, cold = 0, evicted = 0;
            foreach (var sequence in state.Sequences.All)
            {
                if (!sequence.InUse || state.TenantOf(sequence) != tenant)
                {
                    continue;
                }

                resident += sequence.ResidentBytes;
                for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
                {
                    for (var i = 0; i < sequence.Rows[r].Count; i++)
                    {
                        ref var block = ref state.Blocks[sequence.Rows[r][i]];
                        cold += block.Cold.IsNone ? 0 : state.LayoutOf(sequence, r).BlockBytes;
                        evicted += block.IsResident ? 0 : state.LayoutOf(sequence, r).BlockBytes;
                    }
                }
            }

            if ((resident, cold, evicted) != (tenant.ResidentBytes, tenant.ColdBytes, tenant.EvictedBytes))
            {
                throw new InvalidOperationException($"Tenant {tenant.Number} has {resident} bytes on the device, {cold} in cold memory, {evicted} there alone; the engine counts {tenant.ResidentBytes}, {tenant.ColdBytes} and {tenant.EvictedBytes}.");
            }
        }
    }

    /// <summary>Call when all steps have ended and nothing goes on: who holds more than it may has nothing left that could go.</summary>
    /// <exception cref="InvalidOperationException">One has a clean block, or a window.</exception>
    public void CheckAtRest()
    {
        foreach (var sequence in state.Sequences.All)
        {
            if (!sequence.InUse || state.TenantOf(sequence) is var tenant && tenant.ResidentBytes <= tenant.Limits.MaxBytes)
            {
                continue;
            }

            var hasClean = false;
            for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
            {
                for (var i = 0; i < sequence.Rows[r].Count; i++)
                {
                    hasClean |= state.Blocks[sequence.Rows[r][i]] is { IsResident: true, IsClean: true };
                }
            }

            if (hasClean || sequence.WindowBytes > 0)
            {
                throw new InvalidOperationException($"Sequence {sequence.Id} has clean blocks or windows on the device, though its tenant holds more than it may and nothing goes on.");
            }
        }
    }
}
