using System.Diagnostics;
using Kvcached.Devices.Linux;

namespace Kvcached.Tests.Litmus;

/// <summary>Where the parties of a run live.</summary>
public enum LitmusMedium
{
    /// <summary>Threads of this process.</summary>
    Threads,

    /// <summary>Party 0 in this process, party 1 in another.</summary>
    Processes,
}

/// <summary>How a run ended.</summary>
/// <param name="Verdict">What it came to.</param>
/// <param name="Rounds">Rounds that every party has begun.</param>
/// <param name="Message">Why, where it did not pass.</param>
internal sealed record LitmusOutcome(Verdict Verdict, long Rounds, string Message)
{
    public override string ToString() => Verdict == Verdict.Pass ? $"{Verdict} after {Rounds} rounds" : $"{Verdict} after {Rounds} rounds: {Message}";
}

/// <summary>Runs one litmus test, again and again: the memory, and the second process if there is one. Not thread-safe.</summary>
internal sealed unsafe class LitmusSession : IDisposable
{
    /// <summary>In place of a faulty copy: the library's code.</summary>
    internal const int Own = -1;

    private static readonly TimeSpan _startPatience = TimeSpan.FromSeconds(20);

    private readonly LitmusTest _test;
    private readonly SharedMapping _mapping = SharedMapping.Create(LitmusControl.Bytes, "litmus");
    private readonly Process? _peer;
    private int _run;

    internal LitmusSession(LitmusTest test, LitmusMedium medium)
    {
        _test = test;
        if (medium == LitmusMedium.Processes)
        {
            _peer = LitmusPeer.Start(test, _mapping.Descriptor);
        }
    }

    private LitmusControl* Control => (LitmusControl*)_mapping.Address;

    /// <summary>Runs a faulty copy or, with −1, the library's code.</summary>
    /// <param name="fault">Index of the copy.</param>
    /// <param name="rounds">Rounds to run.</param>
    /// <param name="patience">How long a sleeper sleeps before it must have been forgotten.</param>
    /// <param name="limit">Time that the rounds may take.</param>
    internal LitmusOutcome Run(int fault, long rounds, TimeSpan patience, TimeSpan limit)
    {
        Prepare(fault, rounds, patience, limit);
        var threads = Enumerable.Range(0, _peer is null ? _test.Parties : 1).Select(Start).ToArray();
        var all = limit + _startPatience + (2 * patience);
        var started = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref Control->Ended) < _test.Parties)
        {
            if (_peer is { HasExited: true })
            {
                Abandon(threads, all);
                return new LitmusOutcome(Verdict.Inconclusive, 0, $"the second process ended with {_peer.ExitCode}");
            }

            if (Stopwatch.GetElapsedTime(started) > all)
            {
                Abandon(threads, TimeSpan.Zero);
                return new LitmusOutcome(Verdict.Violation, 0, "a party did not come back");
            }

            Thread.Sleep(1);
        }

        Array.ForEach(threads, t => t.Join());
        _test.End();
        return Outcome(rounds);
    }

    public void Dispose()
    {
        if (_peer is not null)
        {
            Volatile.Write(ref Control->Run, LitmusPeer.NoMore);
            if (!_peer.WaitForExit(TimeSpan.FromSeconds(2)))
            {
                _peer.Kill();
                _peer.WaitForExit();
            }

            _peer.Dispose();
        }

        _mapping.Dispose();
    }

    private void Abandon(Thread[] threads, TimeSpan timeout)
    {
        Volatile.Write(ref Control->Stop, 1);
        if (!Array.TrueForAll(threads, t => t.Join(timeout)))
        {
            // A thread cannot be ended, and may use the memory for ever: it is left to it.
            _mapping.SetHandleAsInvalid();
        }
    }

    private void Prepare(int fault, long rounds, TimeSpan patience, TimeSpan limit)
    {
        var control = Control;
        new Span<byte>(control, LitmusControl.Bytes)[sizeof(int)..].Clear();
        control->Fault = fault;
        control->Seed = ++_run * LitmusControl.MaxParties;
        control->LastRound = rounds;
        control->PatienceTicks = patience.Ticks;
        control->Deadline = Stopwatch.GetTimestamp() + (long)(limit.TotalSeconds * Stopwatch.Frequency);
        Volatile.Write(ref control->Run, _run);
    }

    private LitmusOutcome Outcome(long rounds)
    {
        var control = Control;
        var least = rounds;
        for (var party = 0; party < _test.Parties; party++)
        {
            // The round that was begun last found the run over.
            least = Math.Min(least, control->RoundOf(party) - 1);
            var process = party > 0 && _peer is not null ? _peer.Id : Environment.ProcessId;
            if (control->ProcessIds[party] != process)
            {
                return new LitmusOutcome(Verdict.Inconclusive, 0, $"party {party} was process {control->ProcessIds[party]} and not {process}");
            }
        }

        return control->Stop != 0 ? new LitmusOutcome(control->Verdict, least + 1, new string(control->Message))
            : least < rounds ? new LitmusOutcome(Verdict.Inconclusive, least, "time was up")
            : new LitmusOutcome(Verdict.Pass, least, "");
    }

    private Thread Start(int index)
    {
        var thread = new Thread(() => LitmusPeer.RunParty(_test, Control, _mapping, index)) { IsBackground = true, Name = $"litmus {index}" };
        thread.Start();
        return thread;
    }
}
