namespace Kvcached.Bench.Simulation;

/// <summary>Makes a program that fails smaller, as long as it fails.</summary>
public static class ProgramShrinker
{
    /// <summary>Ways to make an operation plainer.</summary>
    private static readonly Func<SimulatedOperation, SimulatedOperation>[] _plainer =
    [
        operation => operation with { SwitchesStall = false },
        operation => operation with { StallsForEver = false },
        operation => operation with { SkipsTurn = true },
        operation => operation with { Slices = 0 },
        operation => operation with { Others = 0 },
        operation => operation with { Tokens = 0x01010101 },
        operation => operation with { Amount = 0 },
        operation => operation with { Lane = 0 },
        operation => operation with { Slot = 0 },
    ];

    /// <summary>Takes what is smaller and fails, again and again, until nothing that is smaller fails.</summary>
    public static SimulatedProgram Shrink(SimulatedProgram program, Predicate<SimulatedProgram> fails)
    {
        while (Smaller(program).FirstOrDefault(smaller => fails(smaller)) is { } found)
        {
            program = found;
        }

        return program;
    }

    /// <summary>Programs a step smaller than one, those that leave out most first.</summary>
    public static IEnumerable<SimulatedProgram> Smaller(SimulatedProgram program)
    {
        ArgumentNullException.ThrowIfNull(program);
        SimulatedOperation[] operations = [.. program.Operations];
        return WithoutClients(program.Setup, operations)
            .Concat(WithoutOperations(program.Setup, operations))
            .Concat(WithoutButTheirSlices(program.Setup, operations))
            .Concat(WithStepsInOne(program.Setup, operations))
            .Concat(PlainerOperations(program.Setup, operations))
            .Concat(PlainerSetups(program.Setup).Select(setup => Of(setup, operations)));
    }

    private static SimulatedProgram Of(ProgramSetup setup, SimulatedOperation[] operations) => new() { Setup = setup, Operations = operations };

    /// <summary>Leaves out a client, with what it does.</summary>
    private static IEnumerable<SimulatedProgram> WithoutClients(ProgramSetup setup, SimulatedOperation[] operations)
    {
        var count = setup.Clients.Count;
        for (var client = 0; client < count && count > 1; client++)
        {
            var others = setup with { Clients = [.. setup.Clients.Where((_, i) => i != client)] };
            yield return Of(
                others,
                [.. operations.Where(operation => operation.Client % count != client).Select(operation => operation with { Client = operation.Client % count - (operation.Client % count > client ? 1 : 0) })]);
        }
    }

    /// <summary>Leaves out a piece: a half, a quarter, and so on down to one operation.</summary>
    private static IEnumerable<SimulatedProgram> WithoutOperations(ProgramSetup setup, SimulatedOperation[] operations)
    {
        for (var piece = (operations.Length + 1) / 2; piece > 0 && operations.Length > 0; piece = piece == 1 ? 0 : (piece + 1) / 2)
        {
            for (var start = 0; start < operations.Length; start += piece)
            {
                yield return Of(setup, [.. operations[..start], .. operations[Math.Min(start + piece, operations.Length)..]]);
            }
        }
    }

    /// <summary>Leaves out one or two operations that follow one another, and lets the device run after the one before as it did after them.</summary>
    private static IEnumerable<SimulatedProgram> WithoutButTheirSlices(ProgramSetup setup, SimulatedOperation[] operations)
    {
        for (var count = 2; count > 0; count--)
        {
            for (var first = 1; first + count <= operations.Length; first++)
            {
                var gone = operations[first..(first + count)];
                var last = operations[first - 1];
                var slices = gone.Append(last).Any(operation => operation.Slices == SimulatedOperation.UntilIdle) ? SimulatedOperation.UntilIdle : last.Slices + gone.Sum(operation => operation.Slices);
                if (slices != last.Slices)
                {
                    yield return Of(setup, [.. operations[..(first - 1)], last with { Slices = slices }, .. operations[(first + count)..]]);
                }
            }
        }
    }

    /// <summary>Makes one step of two that follow one another and take the same sequences, with the tokens of both.</summary>
    private static IEnumerable<SimulatedProgram> WithStepsInOne(ProgramSetup setup, SimulatedOperation[] operations)
    {
        for (var i = 1; i < operations.Length; i++)
        {
            var (first, second) = (operations[i - 1], operations[i]);
            if (first.Command == SimulatedCommand.Step && first with { Tokens = second.Tokens, SkipsTurn = second.SkipsTurn, Slices = second.Slices } == second)
            {
                var tokens = 0u;
                for (var item = 0; item < ProgramSetup.MaxBatch; item++)
                {
                    tokens |= (uint)Math.Min(byte.MaxValue, first.TokensOf(item) + second.TokensOf(item)) << (8 * item);
                }

                yield return Of(setup, [.. operations[..(i - 1)], second with { Tokens = tokens, SkipsTurn = first.SkipsTurn }, .. operations[(i + 1)..]]);
            }
        }
    }

    /// <summary>Makes all operations plainer in one way, then each.</summary>
    private static IEnumerable<SimulatedProgram> PlainerOperations(ProgramSetup setup, SimulatedOperation[] operations)
    {
        foreach (var plainer in _plainer)
        {
            var changed = Enumerable.Range(0, operations.Length).Where(i => plainer(operations[i]) != operations[i]).ToArray();
            if (changed.Length > 1)
            {
                yield return Of(setup, [.. operations.Select(plainer)]);
            }

            foreach (var i in changed)
            {
                yield return Of(setup, [.. operations[..i], plainer(operations[i]), .. operations[(i + 1)..]]);
            }
        }
    }

    private static IEnumerable<ProgramSetup> PlainerSetups(ProgramSetup setup)
    {
        ProgramSetup[] plainer =
        [
            setup with { LagsObservation = false },
            setup with { CleanAheadBlocks = 0 },
            setup with { PoolFloorUnits = 0 },
            setup with { CompactionBytes = 0 },
            WithPool(setup, (setup.PoolUnits + 1) / 2),
            WithPool(setup, Math.Max(1, setup.PoolUnits - 1)),
            setup with { ColdUnits = setup.ColdUnits / 2 },
            setup with { ColdUnits = Math.Max(0, setup.ColdUnits - 1) },
            setup.Tenants.Count > 0 ? setup with { Tenants = [] } : setup,
            setup with { SharesRows = false },
            setup with { SharesExceedPool = false },
            .. setup.Clients.SelectMany((client, i) => Plainer(client).Select(smaller => setup with { Clients = [.. setup.Clients.Take(i), smaller, .. setup.Clients.Skip(i + 1)] })),
        ];
        return plainer.Where(changed => changed != setup);
    }

    private static ProgramSetup WithPool(ProgramSetup setup, int units) => setup with { PoolUnits = units, PoolFloorUnits = Math.Min(setup.PoolFloorUnits, units) };

    private static IEnumerable<ClientSetup> Plainer(ClientSetup client)
    {
        if (client.LaneDepths.Count > 1)
        {
            yield return client with { LaneDepths = [client.LaneDepths[0]] };
        }

        if (client.HasWindows)
        {
            yield return client with { HasWindows = false };
        }

        for (var i = 0; i < client.Layouts.Count; i++)
        {
            if (client.Layouts.Count > 1)
            {
                yield return client with { Layouts = [client.Layouts[i]] };
            }

            if (client.Layouts[i].Window > 0)
            {
                yield return client with { Layouts = [.. client.Layouts.Select((layout, l) => l == i ? layout with { Window = 0 } : layout)] };
            }
        }
    }
}
