using System.Diagnostics;

namespace Kvcached.Tests.Litmus;

/// <summary>All litmus tests.</summary>
internal static class LitmusCatalog
{
    /// <summary>How long a sleeper sleeps before it must have been forgotten. The library's code gets what no busy machine takes.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    internal static IReadOnlyList<LitmusTest> All { get; } =
    [
        new RingOrSleep(),
        new MessagePassing(),
        new RaisingTogether(),
        new Poisoning(),
        new TwoWaiters(),
        new RecordsInOrder(),
        new LaunchAndReturn(),
        new SubmitAndRun(),
        new WaitAndCopy(),
        new LosingTheDevice(),
        new RecordsAndCalls(),
    ];

    /// <summary>Each test over each medium that it can be run over.</summary>
    internal static IEnumerable<(LitmusTest Test, LitmusMedium Medium)> Cases =>
        from test in All
        from medium in Enum.GetValues<LitmusMedium>()
        where medium == LitmusMedium.Threads || (test.IsShared && test.Parties == 2)
        select (test, medium);

    /// <summary>Runs all tests on the library's code, over and over.</summary>
    /// <returns>1 as soon as one does not pass.</returns>
    internal static int Soak(double seconds)
    {
        var sessions = Cases.Select(c => (c.Test, c.Medium, Session: new LitmusSession(c.Test, c.Medium), Rounds: new long[1])).ToArray();
        try
        {
            var started = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(started).TotalSeconds < seconds)
            {
                foreach (var (test, medium, session, rounds) in sessions)
                {
                    var outcome = session.Run(LitmusSession.Own, test.LeastRounds, Patience, Limit);
                    rounds[0] += outcome.Rounds;
                    if (outcome.Verdict != Verdict.Pass)
                    {
                        Console.WriteLine($"{test.Name}, {medium}, {rounds[0]} rounds in all: {outcome}");
                        return 1;
                    }
                }
            }

            foreach (var (test, medium, _, rounds) in sessions)
            {
                Console.WriteLine($"{test.Name}, {medium}: {rounds[0]} rounds");
            }

            return 0;
        }
        finally
        {
            Array.ForEach(sessions, s => s.Session.Dispose());
        }
    }
}
