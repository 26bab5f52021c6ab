using System.Text.Json;
using System.Text.Json.Serialization;
using Kvcached.Devices.Sim;

namespace Kvcached.Bench.Simulation;

/// <summary>A program over the whole engine: where it starts, and what its clients do.</summary>
public sealed record SimulatedProgram
{
    /// <summary>Attempts for each operation that is to be planned: a program that needs more is cut off.</summary>
    private const int Attempts = 16;

    private static readonly JsonSerializerOptions _json = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault, Converters = { new JsonStringEnumConverter() } };

    /// <summary>Where it starts.</summary>
    public required ProgramSetup Setup { get; init; }

    /// <summary>What its clients do, in order.</summary>
    public required IEnumerable<SimulatedOperation> Operations { get; init; }

    /// <summary>Ends once so many operations have been planned; null: with the last one.</summary>
    public int? Limit { get; init; }

    /// <summary>Reads what <see cref="ToJson"/> writes.</summary>
    /// <exception cref="JsonException">It is no program, or one whose set-up cannot be had.</exception>
    public static SimulatedProgram Parse(string json)
    {
        var program = JsonSerializer.Deserialize<SimulatedProgram>(json, _json);
        if (program is not { Setup: not null, Operations: not null })
        {
            throw new JsonException("There is no program.");
        }

        program.Setup.Check();
        return program;
    }

    /// <summary>The program in one line, to be kept.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, _json);

    /// <summary>The program of its first operations, as many as <paramref name="count"/>, with no limit to what is planned.</summary>
    public SimulatedProgram Cut(int count) => this with { Operations = [.. Operations.Take(count)], Limit = null };

    /// <summary>Draws a program from a seed. Its operations are drawn one by one as they are read, the same each time.</summary>
    /// <param name="seed">All of it follows from this.</param>
    /// <param name="operations">Operations to plan.</param>
    /// <param name="clients">Clients that share the pool, where it does not begin with a program that is kept.</param>
    public static SimulatedProgram Draw(ulong seed, int operations, int clients)
    {
        var random = new SimRandom(seed, stream: 7);
        var kept = KeptPrograms.Of(seed);
        var setup = kept?.Setup ?? ProgramSetup.Draw(seed, clients, ref random);
        var burst = 1 << random.Next(7);

        // From a stream of its own: what else is drawn does not depend on it.
        var stalls = new SimRandom(seed, stream: 8);
        var stallsAt = stalls.OneIn(4) ? stalls.Next(operations) : -1;
        var drawn = DrawWithDeaths(
            DrawWithLimits(
                DrawWithPoolOperations(
                    DrawWithWindows(
                        DrawWithHaste(DrawWithOrder(DrawOperations(random, setup.Clients.Count, burst, stallsAt, operations * (long)Attempts), new SimRandom(seed, stream: 24)), new SimRandom(seed, stream: 23)),
                        setup.Clients,
                        new SimRandom(seed, stream: 13)),
                    new SimRandom(seed, stream: 21),
                    burst),
                setup,
                new SimRandom(seed, stream: 26)),
            new SimRandom(seed, stream: 27),
            setup.Clients.Count,
            burst);
        return new SimulatedProgram { Setup = setup, Operations = kept is null ? drawn : DrawWithKept(kept.Operations, drawn, new SimRandom(seed, stream: 28), burst), Limit = operations };
    }

    /// <summary>
    /// A program that is kept, as it is; and again and again after some drawn operations, with some of its own left out, others put between, and other slices and turns.
    /// </summary>
    private static IEnumerable<SimulatedOperation> DrawWithKept(IEnumerable<SimulatedOperation> kept, IEnumerable<SimulatedOperation> drawn, SimRandom random, int burst)
    {
        foreach (var operation in kept)
        {
            yield return operation;
        }

        // Drawn operations come to an end.
        using var others = drawn.GetEnumerator();
        while (true)
        {
            for (var count = 1 + random.Next(128); count > 0; count--)
            {
                if (!others.MoveNext())
                {
                    yield break;
                }

                yield return others.Current;
            }

            foreach (var operation in kept)
            {
                if (random.OneIn(16) && others.MoveNext())
                {
                    yield return others.Current;
                }

                if (!random.OneIn(16))
                {
                    yield return operation with
                    {
                        SkipsTurn = operation.SkipsTurn != random.OneIn(16),
                        Slices = random.OneIn(8) ? DrawSlices(ref random, burst) : operation.Slices,
                    };
                }
            }
        }
    }

    /// <summary>
    /// Lets clients die in one of three programs, after one operation in 32 to 256, most of them the one that the operation was of: killed, noticed some operations later and proved gone some more after that; or
    /// condemned while they live; some proved gone at once.
    /// </summary>
    private static IEnumerable<SimulatedOperation> DrawWithDeaths(IEnumerable<SimulatedOperation> operations, SimRandom random, int clients, int burst)
    {
        var rate = random.OneIn(3) ? 32 << random.Next(4) : 0;
        var (killed, condemned) = (-1, 0);
        foreach (var operation in operations)
        {
            yield return operation;
            if (rate == 0)
            {
                continue;
            }

            var death = new SimulatedOperation { Client = killed, Amount = random.Next(1 << 16), SkipsTurn = random.OneIn(2), Slices = DrawSlices(ref random, burst) };
            if (killed >= 0 && random.OneIn(4))
            {
                (killed, condemned) = (-1, condemned + 1);
                yield return death with { Command = SimulatedCommand.Condemn };
            }
            else if (condemned > 0 && random.OneIn(8))
            {
                condemned--;
                yield return death with { Command = SimulatedCommand.ProveGone, Client = 0 };
            }
            else if (killed < 0 && condemned < 2 && random.OneIn(rate))
            {
                var client = random.OneIn(4) ? random.Next(clients) : operation.Client;
                if (random.OneIn(3))
                {
                    condemned++;
                    yield return death with { Command = SimulatedCommand.Condemn, Client = client };
                }
                else
                {
                    killed = client;
                    yield return death with { Command = SimulatedCommand.Kill, Client = client };
                }
            }
        }
    }

    /// <summary>
    /// Puts operations on the pool as a whole between those of clients, one of 8 to 64, in three of four programs; and in one of eight, copies out what
    /// every other step has written, behind it, so that others meet blocks whose copies are observed before the end of the step is.
    /// </summary>
    private static IEnumerable<SimulatedOperation> DrawWithPoolOperations(IEnumerable<SimulatedOperation> operations, SimRandom random, int burst)
    {
        var rate = random.OneIn(4) ? 0 : 8 << random.Next(4);
        var cleans = random.OneIn(8);
        foreach (var operation in operations)
        {
            if (rate > 0 && random.OneIn(rate))
            {
                yield return new SimulatedOperation
                {
                    Command = random.OneIn(3) ? SimulatedCommand.Compact : SimulatedCommand.Trim,
                    SkipsTurn = random.OneIn(2),
                    Slices = DrawSlices(ref random, burst),
                };
            }

            yield return operation;
            if (cleans && operation.Command == SimulatedCommand.Step && random.OneIn(2))
            {
                yield return new SimulatedOperation
                {
                    Command = SimulatedCommand.Clean,
                    Client = operation.Client,
                    Lane = operation.Lane,
                    Slot = operation.Slot,
                    SkipsTurn = true,
                    Slices = DrawSlices(ref random, burst),
                };
            }
        }
    }

    /// <summary>Changes what the tenant of an operation's client may have, after one operation in 32, where there are tenants.</summary>
    private static IEnumerable<SimulatedOperation> DrawWithLimits(IEnumerable<SimulatedOperation> operations, ProgramSetup setup, SimRandom random)
    {
        foreach (var operation in operations)
        {
            yield return operation;
            if (setup.Tenants.Count > 0 && random.OneIn(32))
            {
                yield return new SimulatedOperation { Command = SimulatedCommand.Limit, Client = operation.Client, Amount = random.Next(SimulatedOperation.Choices), SkipsTurn = random.OneIn(2) };
            }
        }
    }

    /// <summary>Restores the order of the sequence that an operation was about, or of another of its client's, after one in 24.</summary>
    private static IEnumerable<SimulatedOperation> DrawWithOrder(IEnumerable<SimulatedOperation> operations, SimRandom random)
    {
        foreach (var operation in operations)
        {
            yield return operation;
            if (random.OneIn(24))
            {
                yield return operation with
                {
                    Command = SimulatedCommand.RestoreOrder,
                    Slot = random.OneIn(2) ? operation.Slot : random.Next(ProgramSetup.MaxSequences),
                    SkipsTurn = random.OneIn(2),
                    SwitchesStall = false,
                    StallsForEver = false,
                    Slices = 0,
                };
            }
        }
    }

    /// <summary>
    /// Goes on in haste after one operation in 32: after a turn, sequences of the client are cleaned, then the last of them is evicted, and a step
    /// takes its bytes, while the device does nothing: what has been enqueued meets what it is enqueued after.
    /// </summary>
    private static IEnumerable<SimulatedOperation> DrawWithHaste(IEnumerable<SimulatedOperation> operations, SimRandom random)
    {
        foreach (var operation in operations)
        {
            yield return operation;
            if (!random.OneIn(32))
            {
                continue;
            }

            var next = operation with { SkipsTurn = false, SwitchesStall = false, StallsForEver = false, EndsEarly = false, Slices = 0, Tokens = DrawTokens(ref random) };
            for (var cleans = 2 + random.Next(4); cleans > 0; cleans--)
            {
                next = next with { Command = SimulatedCommand.Clean, Slot = random.Next(ProgramSetup.MaxSequences) };
                yield return next;
                next = next with { SkipsTurn = true };
            }

            yield return next with { Command = SimulatedCommand.Evict };
            yield return next with { Command = SimulatedCommand.Step, Slot = next.Slot + 1 };
        }
    }

    /// <summary>Puts operations on contiguous windows behind others of clients that may have them: one in six, and every second prefetch or move, on the sequence that the other was about.</summary>
    private static IEnumerable<SimulatedOperation> DrawWithWindows(IEnumerable<SimulatedOperation> operations, IReadOnlyList<ClientSetup> clients, SimRandom random)
    {
        foreach (var operation in operations)
        {
            yield return operation;
            var isTransfer = operation.Command is SimulatedCommand.Prefetch or SimulatedCommand.Move or SimulatedCommand.MoveInBackground;
            if (!clients[operation.Client].HasWindows || !random.OneIn(isTransfer ? 2 : 6))
            {
                continue;
            }

            var window = new SimulatedOperation
            {
                Command = random.OneIn(3) ? SimulatedCommand.CloseWindow : SimulatedCommand.OpenWindow,
                Client = operation.Client,
                Lane = operation.Lane,
                Slot = operation.Slot,
                Amount = random.Next(2),
                SkipsTurn = random.OneIn(2),
            };
            if (operation.Command == SimulatedCommand.Step && random.OneIn(2))
            {
                // What a clean copies out under a step is clean before that has ended for a short time alone.
                yield return window with { Command = SimulatedCommand.Clean, SkipsTurn = true, Slices = random.Next(48) };
                window = window with { SkipsTurn = false };
            }

            yield return window;
            if (window.Command == SimulatedCommand.CloseWindow && random.OneIn(2))
            {
                // Opened again for the step after the next: it misses what that one writes.
                yield return window with { Command = SimulatedCommand.Step, Others = operation.Others, Tokens = DrawTokens(ref random), SkipsTurn = true };
                yield return window with { Command = SimulatedCommand.OpenWindow, SkipsTurn = true };
            }
            else if (window.Command == SimulatedCommand.OpenWindow && random.OneIn(2))
            {
                // Gathered by a step that ends early; the blocks leave, and come back, while it still may be gathering.
                yield return window with { Command = SimulatedCommand.Step, EndsEarly = true, SkipsTurn = true };
                yield return window with { Command = SimulatedCommand.Evict, SkipsTurn = true };
                yield return window with { Command = SimulatedCommand.Step, Others = operation.Others, Tokens = DrawTokens(ref random), SkipsTurn = true };
            }
        }
    }

    private static IEnumerable<SimulatedOperation> DrawOperations(SimRandom random, int clients, int burst, int stallsAt, long count)
    {
        var recent = new int[clients];
        var last = default(SimulatedOperation);
        var returns = false;
        var skips = random.OneIn(2) ? 2 : random.Next(8);
        for (var i = 0L; i < count; i++)
        {
            returns = random.Next(8) < (returns ? 6 : 1);
            last = returns ? DrawReturn(last, ref random) : DrawOperation(recent, ref random);
            yield return last with
            {
                SkipsTurn = random.Next(8) < skips,
                SwitchesStall = random.OneIn(97),
                StallsForEver = i == stallsAt,
                Slices = DrawSlices(ref random, burst),
            };
        }
    }

    private static SimulatedOperation DrawOperation(int[] recent, ref SimRandom random)
    {
        var client = random.Next(recent.Length);

        // One in three comes back to the client's last slot, on whichever lane: so commands meet what the last one left under way.
        if (!random.OneIn(3))
        {
            recent[client] = random.Next(ProgramSetup.MaxSequences);
        }

        return new SimulatedOperation
        {
            Command = DrawCommand(ref random),
            Client = client,
            Lane = random.Next(ProgramSetup.MaxLanes),
            Slot = recent[client],
            Others = random.Next(ProgramSetup.MaxBatch),
            Tokens = DrawTokens(ref random),
            EndsEarly = random.OneIn(16),
            Amount = random.Next(SimulatedOperation.Choices),
        };
    }

    /// <summary>
    /// Back to what the last operation touched: what it evicted is reloaded by a step of the other lane, what it freed or cut grows again, what a
    /// step used is evicted, cleaned, cut, freed, or used again at once.
    /// </summary>
    private static SimulatedOperation DrawReturn(in SimulatedOperation last, ref SimRandom random) => last.Command switch
    {
        SimulatedCommand.Evict => last with { Command = SimulatedCommand.Step, Lane = last.Lane + 1, Tokens = DrawTokens(ref random) },
        SimulatedCommand.Free => last with { Command = SimulatedCommand.Create },
        SimulatedCommand.Create or SimulatedCommand.Truncate => last with { Command = SimulatedCommand.Step, Tokens = DrawTokens(ref random) },
        SimulatedCommand.Step => random.Next(8) switch
        {
            < 3 => last with { Command = SimulatedCommand.Evict },
            < 4 => last with { Command = SimulatedCommand.Clean },
            < 6 => last with { Command = SimulatedCommand.Truncate },
            < 7 => last with { Tokens = DrawTokens(ref random) },
            _ => last with { Command = SimulatedCommand.Free },
        },
        _ => last with { Command = SimulatedCommand.Evict },
    };

    private static SimulatedCommand DrawCommand(ref SimRandom random) => random.Next(100) switch
    {
        < 6 => SimulatedCommand.Create,
        < 61 => SimulatedCommand.Step,
        < 66 => SimulatedCommand.Truncate,
        < 70 => SimulatedCommand.Free,
        < 72 => SimulatedCommand.Commit,
        < 78 => SimulatedCommand.Clean,
        < 85 => SimulatedCommand.Evict,
        < 90 => SimulatedCommand.Prefetch,
        < 95 => SimulatedCommand.Move,
        _ => SimulatedCommand.MoveInBackground,
    };

    private static uint DrawTokens(ref SimRandom random)
    {
        var tokens = 0u;
        for (var item = 0; item < ProgramSetup.MaxBatch; item++)
        {
            tokens = (tokens << 8) | (uint)(random.OneIn(16) ? 0 : random.OneIn(4) ? 1 + random.Next(12) : 1 + random.Next(2));
        }

        return tokens;
    }

    private static int DrawSlices(ref SimRandom random, int burst) => random.Next(64) switch
    {
        < 24 => 0,
        63 => SimulatedOperation.UntilIdle,
        _ => random.Next(burst + 1),
    };
}
