namespace Kvcached.Tests.Litmus;

/// <summary>
/// What passes between a client and the daemon. In each round both write a record into their ring and call the other, and then wait for the other's record: whoever
/// finds none must be called, and each record comes whole and in order.
/// </summary>
internal sealed class RecordsAndCalls() : LitmusTest<LitmusLink>(
    "records and calls",
    2,
    (party, address) => new LitmusLink(party, address),
    new Fault<LitmusLink>(nameof(AsksLate), (party, address) => new AsksLate(party, address)),
    new Fault<LitmusLink>(nameof(AsksUnfenced), (party, address) => new AsksUnfenced(party, address)) { Only = LitmusMedium.Threads },
    new Fault<LitmusLink>(nameof(CallsUnfenced), (party, address) => new CallsUnfenced(party, address)),
    new Fault<LitmusLink>(nameof(CallsBeforePublishing), (party, address) => new CallsBeforePublishing(party, address)),
    new Fault<LitmusLink>(nameof(SleepsUnfenced), (party, address) => new SleepsUnfenced(party, address)),
    new Fault<LitmusLink>(nameof(HearsAfterLooking), (party, address) => new HearsAfterLooking(party, address)),
    new Fault<LitmusLink>(nameof(WakesUnfenced), (party, address) => new WakesUnfenced(party, address)))
{
    protected override void Run(LitmusParty party, Func<int, LitmusLink> make)
    {
        using var link = make(0);
        for (var round = 1L; link.IsConnected && party.Begins(round); round++)
        {
            party.Pause();
            link.Signal((ulong)round);
            party.Pause();
            if (!party.Await(link, (ulong)round))
            {
                return;
            }
        }
    }
}
