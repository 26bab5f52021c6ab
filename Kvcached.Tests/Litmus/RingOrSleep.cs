namespace Kvcached.Tests.Litmus;

/// <summary>
/// Store buffering. Each party changes its word and rings, and waits for the other's word: whoever finds no change must be woken.
/// </summary>
internal sealed unsafe class RingOrSleep() : LitmusTest<ILitmusBell>(
    "ring or sleep",
    2,
    (_, address) => new OwnBell(address),
    new Fault<ILitmusBell>(nameof(HearsLate), (_, address) => new HearsLate(address)),
    new Fault<ILitmusBell>(nameof(RingsUnfenced), (_, address) => new RingsUnfenced(address)),
    new Fault<ILitmusBell>(nameof(WakesItsProcess), (_, address) => new WakesItsProcess(address)) { Only = LitmusMedium.Processes })
{
    private const int Line = 64;
    private const int Lines = 48;
    private const int PartyBytes = 4096;

    protected override void Run(LitmusParty party, Func<int, ILitmusBell> make)
    {
        var (mine, others) = (PartyBytes * party.Index, PartyBytes * (1 - party.Index));
        var (bell, othersBell) = (make(mine), make(others));
        ref var word = ref *(ulong*)party.At(mine + Line);
        var changed = new ChangedWord(othersBell, party.At(others + Line));
        for (var round = 1L; party.Begins(round); round++)
        {
            party.Pause();
            Touch(party);
            Volatile.Write(ref word, (ulong)round);
            bell.Ring();
            party.Pause();
            if (!party.Await(changed, (ulong)round))
            {
                return;
            }
        }
    }

    /// <summary>Stores into lines that the other party has stored into: what is stored next waits behind them in the store buffer.</summary>
    private static void Touch(LitmusParty party)
    {
        for (var line = party.Next(Lines); line > 0; line--)
        {
            *(long*)party.At((2 * PartyBytes) + (line * Line)) = line;
        }
    }

    /// <summary>A word that is changed before a bell is rung.</summary>
    private sealed class ChangedWord(ILitmusBell bell, nint word) : ILitmusTimeline
    {
        public ulong Value => Volatile.Read(ref *(ulong*)word);

        public void Signal(ulong value) => throw new NotSupportedException();

        public bool Wait(ulong value, TimeSpan timeout) => bell.Await(() => Value >= value, timeout);
    }
}
