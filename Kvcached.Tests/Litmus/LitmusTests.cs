using Xunit;

namespace Kvcached.Tests.Litmus;

/// <summary>
/// Litmus tests of the cpu device (docs/litmus.md): first on copies that are wrong on purpose, each of which must be caught, and then on the
/// library's code, for many times as many rounds. They run alone: their parties need processors of their own.
/// </summary>
[CollectionDefinition(nameof(LitmusTests), DisableParallelization = true)]
[Collection(nameof(LitmusTests))]
public sealed class LitmusTests
{
    private const int MoreRounds = 10;

    /// <summary>A copy's sleeper that is asleep for this long was forgotten; where it was not, and only the machine was slow, nothing is lost but a round.</summary>
    private static readonly TimeSpan _patienceWithCopy = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan _limitOfCopy = TimeSpan.FromSeconds(20);

    public static IEnumerable<object[]> Cases => LitmusCatalog.Cases.Select(c => new object[] { c.Test.Name, c.Medium });

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_copy_that_is_wrong_is_caught_and_the_librarys_code_is_not(string name, LitmusMedium medium)
    {
        var test = LitmusCatalog.All.Single(t => t.Name == name);
        using var session = new LitmusSession(test, medium);
        var rounds = test.LeastRounds;
        for (var fault = 0; fault < test.Faults.Count; fault++)
        {
            if (test.Faults[fault].Only is { } only && medium != only)
            {
                continue;
            }

            var caught = session.Run(fault, long.MaxValue, _patienceWithCopy, _limitOfCopy);
            Assert.True(caught.Verdict == Verdict.Violation, $"The test is blind to {test.Faults[fault].Name}: {caught}");
            rounds = Math.Max(rounds, MoreRounds * caught.Rounds);
        }

        var own = session.Run(LitmusSession.Own, rounds, LitmusCatalog.Patience, LitmusCatalog.Limit);
        Assert.True(own.Verdict == Verdict.Pass, own.ToString());
    }
}
