namespace Kvcached.Tests.Litmus;

/// <summary>A litmus test of timelines.</summary>
internal abstract class TimelineLitmus(string name, int parties, params Fault<ILitmusTimeline>[] faults)
    : LitmusTest<ILitmusTimeline>(name, parties, (party, address) => new OwnTimeline(party.Device, address), faults)
{
    protected const int SlotBytes = 64;

    protected static Fault<ILitmusTimeline> With(string name, Func<nint, ILitmusTimeline> make) => new(name, (_, address) => make(address));

    protected static Fault<ILitmusTimeline> WithBell(string name, Func<nint, ILitmusBell> bell) => new(name, (_, address) => new TimelineCopy(address, bell));
}

/// <summary>
/// Message passing. What a party writes before it signals, the other sees after its wait; a wait does not end before its value, whoever
/// rings; and no signal is slept through.
/// </summary>
internal sealed unsafe class MessagePassing() : TimelineLitmus(
    "message passing",
    2,
    With(nameof(RingsBeforeRaising), address => new RingsBeforeRaising(address)),
    With(nameof(TrustsTheWake), address => new TrustsTheWake(address)),
    WithBell(nameof(HearsLate), bell => new HearsLate(bell)))
{
    private const int Words = 16;
    private const int MessageOffset = 1024;

    protected override void Run(LitmusParty party, Func<int, ILitmusTimeline> make)
    {
        var (mine, others) = (make(SlotBytes * party.Index), make(SlotBytes * (1 - party.Index)));
        var message = MessageOf(party, party.Index);
        var othersMessage = MessageOf(party, 1 - party.Index);
        for (var round = 1L; party.Begins(round); round++)
        {
            // An odd value says nothing but rings.
            party.Pause();
            mine.Signal((2 * (ulong)round) - 1);
            party.Pause(LitmusParty.LongPause);
            for (var i = 0; i < Words; i++)
            {
                message[i] = (round * Words) + i;
            }

            mine.Signal(2 * (ulong)round);
            if (!party.Await(others, 2 * (ulong)round) || !IsWhole(party, othersMessage, round))
            {
                return;
            }
        }
    }

    private static long* MessageOf(LitmusParty party, int writer) => (long*)party.At(MessageOffset * (writer + 1));

    private static bool IsWhole(LitmusParty party, long* message, long round)
    {
        for (var i = Words - 1; i >= 0; i--)
        {
            if (message[i] != (round * Words) + i)
            {
                return party.Violate($"word {i} of the message of round {message[i] / Words} was read");
            }
        }

        return true;
    }
}

/// <summary>Signals of many parties commute to their maximum: none is lost, and the value never goes back.</summary>
internal sealed class RaisingTogether() : TimelineLitmus(
    "raising together",
    2,
    With(nameof(RaisesPlainly), address => new RaisesPlainly(address)),
    With(nameof(RaisesOnce), address => new RaisesOnce(address)))
{
    private const int Raises = 32;

    protected override void Run(LitmusParty party, Func<int, ILitmusTimeline> make)
    {
        var timeline = make(0);
        var seen = 0ul;
        for (var round = 1L; party.Begins(round); round++)
        {
            for (var i = 0; i < Raises; i++)
            {
                var value = timeline.Value;
                if (value < seen)
                {
                    party.Violate($"the value went back from {seen} to {value}");
                    return;
                }

                var next = value + 1 + (ulong)party.Next(4);
                timeline.Signal(next);
                seen = timeline.Value;
                if (seen < next)
                {
                    party.Violate($"{next} was signalled, and the value is {seen}");
                    return;
                }
            }
        }
    }
}

/// <summary>Poison, the value plus 2^40, leaves its low 32 bits as they were, and wakes all the same.</summary>
internal sealed class Poisoning() : TimelineLitmus("poisoning", 2, With(nameof(SleepsOnValue), address => new SleepsOnValue(address)))
{
    private const ulong Poison = 1ul << 40;

    /// <summary>Values end at 2^48.</summary>
    private const int RoundsOfSlot = 250;
    private const int Slots = LitmusControl.WordsBytes / SlotBytes;

    protected override void Run(LitmusParty party, Func<int, ILitmusTimeline> make)
    {
        for (var round = 1L; party.Begins(round); round++)
        {
            var timeline = make((int)((round - 1) / RoundsOfSlot % Slots) * SlotBytes);
            var value = (ulong)((round - 1) % RoundsOfSlot) * Poison;
            party.Pause();
            if (party.Index == 0)
            {
                timeline.Signal(value + Poison);
            }
            else if (!party.Await(timeline, value + 1))
            {
                return;
            }
        }
    }
}

/// <summary>A signal wakes all that it concerns.</summary>
internal sealed class TwoWaiters() : TimelineLitmus("two waiters", 3, WithBell(nameof(WakesOne), bell => new WakesOne(bell)))
{
    internal override long LeastRounds => 1000;

    protected override void Run(LitmusParty party, Func<int, ILitmusTimeline> make)
    {
        var timeline = make(0);
        for (var round = 1L; party.Begins(round); round++)
        {
            party.Pause();
            if (party.Index == 0)
            {
                timeline.Signal((ulong)round);
            }
            else if (!party.Await(timeline, (ulong)round))
            {
                return;
            }
        }
    }
}
