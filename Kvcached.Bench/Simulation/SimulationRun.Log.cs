namespace Kvcached.Bench.Simulation;

// What a reader of a short program is told.
public sealed partial class SimulationRun
{
    private void LogSetup(TextWriter log)
    {
        var setup = _program.Setup;
        log.WriteLine($"set-up: seed {setup.Seed}; pool of {setup.PoolUnits} units{(setup.PoolFloorUnits > 0 ? $" (floor {setup.PoolFloorUnits})" : string.Empty)}{(setup.CompactionBytes > 0 ? $", compacted by {setup.CompactionBytes} bytes a turn" : string.Empty)}, cold tier of {setup.ColdUnits}, entry heap of {setup.TableUnits}; {setup.CleanAheadBlocks} blocks kept clean ahead"
            + (setup.LagsObservation ? "; observation lags" : string.Empty)
            + (setup.SharesRows ? "; rows are shared out" : string.Empty)
            + (setup.SharesExceedPool ? "; shares exceed the pool" : string.Empty));
        for (var i = 0; i < setup.Clients.Count; i++)
        {
            var layouts = setup.Clients[i].Layouts.Select(layout => $"{layout.TokensPerBlock} tokens of {layout.TokenBytes} bytes{(layout.Window > 0 ? $" (window {layout.Window})" : string.Empty)}");
            log.WriteLine($"client {i}: blocks of {string.Join(" and of ", layouts)}; lanes {string.Join(", ", _clients[i].Lanes.Select(lane => $"{lane.State.Number} of depth {lane.State.Depth}"))}{(_tenants.Count > 0 ? $"; of tenant {_clients[i].State.Tenant.Number} with {_clients[i].State.Tenant.Limits}" : string.Empty)}{(setup.Clients[i].HasPageTables ? "; page tables" : string.Empty)}{(setup.Clients[i].HasWindows ? "; contiguous windows" : string.Empty)}");
        }
    }

    private void LogStart(in SimulatedOperation operation, SimulatedClient client, SimulatedLane lane) =>
        _options.Log?.Write($"{_read,5}. {(operation.SkipsTurn ? string.Empty : "turn; ")}client {client.State.Number}, lane {lane.State.Number}: {operation.Command}");

    private void LogEnd(in SimulatedOperation operation) => _options.Log?.WriteLine(
        (operation.SwitchesStall ? _stalled is null ? "; no lane is stalled" : $"; lane {_stalled.State.Number} is stalled" : string.Empty)
        + (operation.StallsForEver ? "; the client is stalled for ever" : string.Empty)
        + operation.Slices switch { 0 => string.Empty, SimulatedOperation.UntilIdle => "; slices until idle", var slices => $"; {slices} slices" });
}
