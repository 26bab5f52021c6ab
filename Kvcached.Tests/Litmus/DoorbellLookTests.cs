using System.Diagnostics;
using Kvcached.Devices.Host;
using Xunit;

namespace Kvcached.Tests.Litmus;

/// <summary>
/// The window between a waiter's look at its condition and its sleep, which is some nanoseconds wide and so is hit by chance too seldom:
/// here the condition itself rings, after it has been looked at. All waits of the cpu device go through <see cref="Doorbell.Await"/>.
/// </summary>
public sealed unsafe class DoorbellLookTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(10);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_ring_between_look_and_sleep_is_heard(int look)
    {
        // The copy looks once before its first sleep, and is not rung again before it has slept.
        Assert.False(IsHeard(bell => new HearsLate(bell), look: 1, TimeSpan.FromMilliseconds(50)), "The test is blind to a bell that hears late.");
        Assert.True(IsHeard(bell => new OwnBell(bell), look, _patience));
    }

    [Fact]
    public void What_a_condition_throws_is_passed_on_and_the_waiter_is_not_counted_any_more()
    {
        var words = stackalloc uint[2];
        var throwing = new Throwing();
        Assert.Throws<InvalidOperationException>(() => ((Doorbell*)words)->Await(ref throwing, 0));
        Assert.Equal(0u, words[1]);
    }

    /// <summary>Whether a wait ends at once that is rung from within the given look at its condition, just after it was found not to hold.</summary>
    private static bool IsHeard(Func<nint, ILitmusBell> make, int look, TimeSpan timeout)
    {
        var words = stackalloc uint[2];
        var bell = make((nint)words);
        var looks = 0;
        var holds = false;
        var started = Stopwatch.GetTimestamp();
        bell.Await(
            () =>
            {
                var held = holds;
                looks++;
                holds |= looks == look;

                // The looks before are rung too, for nothing: a waiter that is awake looks again.
                if (looks <= look)
                {
                    bell.Ring();
                }

                return held;
            },
            timeout);
        return Stopwatch.GetElapsedTime(started) < timeout;
    }

    private struct Throwing : ICondition
    {
        public readonly bool Holds() => throw new InvalidOperationException();
    }
}
