namespace Kvcached.Tests.Litmus;

/// <summary>
/// A litmus test: what its parties do, round after round, with something that is under test. It is run first on copies that are wrong on
/// purpose, each of which it must catch, and then on the library's code.
/// </summary>
/// <param name="name">Names it.</param>
/// <param name="parties">Threads that take part.</param>
internal abstract class LitmusTest(string name, int parties)
{
    internal string Name { get; } = name;

    internal int Parties { get; } = parties;

    /// <summary>The faulty copies.</summary>
    internal abstract IReadOnlyList<Fault> Faults { get; }

    /// <summary>Whether all that is under test lies in shared memory, so that the parties may be processes.</summary>
    internal virtual bool IsShared => true;

    /// <summary>Rounds of the library's code at least.</summary>
    internal virtual long LeastRounds => 10_000;

    /// <summary>Runs a party's rounds, on the faulty copy of that index or, with −1, on the library's code.</summary>
    internal abstract void Run(LitmusParty party, int fault);

    /// <summary>Frees what the parties shared beside the words. Called when all have ended.</summary>
    internal virtual void End()
    {
    }
}

/// <summary>A litmus test of a kind of thing.</summary>
/// <typeparam name="T">What is under test, as the test uses it.</typeparam>
internal abstract class LitmusTest<T>(string name, int parties, Func<LitmusParty, nint, T> own, params Fault<T>[] faults) : LitmusTest(name, parties)
{
    internal override IReadOnlyList<Fault> Faults => faults;

    internal override void Run(LitmusParty party, int fault)
    {
        var make = fault < 0 ? own : faults[fault].Make;
        Run(party, offset => make(party, party.At(offset)));
    }

    /// <summary>Runs a party's rounds.</summary>
    /// <param name="party">The party.</param>
    /// <param name="make">Makes this party's handle of what lies at an offset of the shared words.</param>
    protected abstract void Run(LitmusParty party, Func<int, T> make);
}

/// <summary>A copy that is wrong on purpose.</summary>
internal abstract record Fault(string Name)
{
    /// <summary>The medium over which it is caught; null for any. It may be wrong between processes alone, or take too many rounds to catch over the other.</summary>
    internal LitmusMedium? Only { get; init; }
}

/// <summary>A copy of a kind of thing, made for a party and an address.</summary>
internal sealed record Fault<T>(string Name, Func<LitmusParty, nint, T> Make) : Fault(Name);
