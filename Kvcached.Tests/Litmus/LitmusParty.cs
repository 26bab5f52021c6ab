using System.Diagnostics;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Linux;

namespace Kvcached.Tests.Litmus;

/// <summary>One party of a run: a thread, perhaps of another process. Its own thread's alone.</summary>
internal sealed unsafe class LitmusParty : IDisposable
{
    /// <summary>A pause that a thread which is awake outlasts by now and then.</summary>
    internal const int ShortPause = 13;

    /// <summary>One that a thread which has to be woken does too.</summary>
    internal const int LongPause = 17;

    /// <summary>How long to look for the others before the processor is given away: those that run come long before.</summary>
    internal static readonly TimeSpan Awake = TimeSpan.FromMicroseconds(100);

    /// <summary>How long to wait for another party beyond what a sleeper may sleep: on a busy machine it may not run for a while.</summary>
    private static readonly TimeSpan _lateness = TimeSpan.FromSeconds(10);

    private readonly LitmusControl* _control;
    private readonly SharedMapping? _mapping;
    private readonly int _parties;
    private readonly int[] _processors = ThreadPin.Processors();
    private readonly Random _random;
    private readonly TimeSpan _patience;
    private CpuDevice? _device;
    private volatile int _sink;

    /// <summary>Makes the calling thread a party of a run.</summary>
    /// <param name="control">The shared words.</param>
    /// <param name="mapping">Where they are mapped, in the process that made them.</param>
    /// <param name="parties">Parties of the run.</param>
    /// <param name="index">Which of them this is.</param>
    internal LitmusParty(LitmusControl* control, SharedMapping? mapping, int parties, int index)
    {
        _mapping = mapping;
        _parties = parties;
        _control = control;
        Index = index;
        _random = new Random(control->Seed + index);
        _patience = TimeSpan.FromTicks(control->PatienceTicks);

        // On processors of their own, parties run at the same time even where others compute beside them.
        if (parties <= _processors.Length)
        {
            ThreadPin.PinCurrent(ProcessorOf(index));
        }
    }

    internal int Index { get; }

    /// <summary>A device for what needs one. No party uses another's.</summary>
    internal CpuDevice Device => _device ??= new CpuDevice(new CpuDeviceOptions { Workers = 1 });

    /// <summary>The memory that the words lie in. Of the process that made it alone.</summary>
    internal SharedMapping Mapping => _mapping ?? throw new InvalidOperationException("This process has not made the memory.");

    /// <summary>How long a sleeper sleeps before it must have been forgotten.</summary>
    internal TimeSpan Patience => _patience;

    /// <summary>Where the parties of a run can meet to pass descriptors: the path of a socket.</summary>
    internal string MeetingPath => Path.Combine(Path.GetTempPath(), $"kvcached-litmus-{_control->ProcessIds[0]}-{_control->Seed}.socket");

    internal bool IsStopped => Volatile.Read(ref _control->Stop) != 0;

    public void Dispose() => _device?.Dispose();

    /// <summary>The address of a word of what is under test.</summary>
    internal nint At(int offset) => (nint)_control + LitmusControl.WordsOffset + offset;

    internal int Next(int below) => _random.Next(below);

    /// <summary>The processor of a party, which the threads of what is under test may be given too. No thread inherits it.</summary>
    internal int ProcessorOf(int party) => _processors[party % _processors.Length];

    /// <summary>
    /// Waits, awake, until all parties have come to round <paramref name="round"/> (1, 2, …), so that they run it at the same time. False
    /// if the run is over.
    /// </summary>
    internal bool Begins(long round)
    {
        if (Index == 0 && Stopwatch.GetTimestamp() > _control->Deadline)
        {
            Volatile.Write(ref _control->LastRound, round - 1);
        }

        Volatile.Write(ref _control->RoundOf(Index), round);
        for (var other = 0; other < _parties; other++)
        {
            if (!AwaitTurn(ref _control->RoundOf(other), round))
            {
                return false;
            }
        }

        return round <= Volatile.Read(ref _control->LastRound);
    }

    /// <summary>Passes a random time, short ones as often as long ones: <paramref name="most"/> says how long it may be, as the logarithm of a number of nanoseconds or so.</summary>
    internal void Pause(int most = ShortPause)
    {
        for (var i = _random.Next(1 << _random.Next(1, most)); i > 0; i--)
        {
            _sink = i;
        }
    }

    /// <summary>
    /// Waits for a value that another party is about to signal. A violation: the wait ends before it is reached, or sleeps past its signal.
    /// </summary>
    /// <param name="timeline">The timeline.</param>
    /// <param name="value">The value.</param>
    /// <param name="mustCome">All that the signal depends on has happened: not to come is a violation too.</param>
    /// <returns>False if the run is over.</returns>
    internal bool Await(ILitmusTimeline timeline, ulong value, bool mustCome = false)
    {
        var begun = Stopwatch.GetTimestamp();
        while (true)
        {
            var started = Stopwatch.GetTimestamp();
            var returned = timeline.Wait(value, _patience);
            var waited = Stopwatch.GetElapsedTime(started);
            var seen = timeline.Value;
            if (seen >= value)
            {
                return waited < _patience || Violate($"the wait for {value} slept on for {waited.TotalMilliseconds:F0} ms, and then found {seen}");
            }

            if (returned)
            {
                return Violate($"the wait for {value} returned at {seen}");
            }

            if (IsStopped)
            {
                return false;
            }

            if (mustCome)
            {
                return Violate($"{value} was not signalled within {waited.TotalMilliseconds:F0} ms");
            }

            if (Stopwatch.GetElapsedTime(begun) > _patience + _lateness)
            {
                return GiveUp($"no other party signalled {value}; it is at {seen}");
            }
        }
    }

    /// <summary>Ends the run: a promise was broken. Returns false.</summary>
    internal bool Violate(string message) => End(Verdict.Violation, message);

    /// <summary>Ends the run without a result. Returns false.</summary>
    internal bool GiveUp(string message) => End(Verdict.Inconclusive, message);

    private bool End(Verdict verdict, string message)
    {
        // The first of them is told.
        if (Interlocked.CompareExchange(ref _control->Stop, 1, 0) == 0)
        {
            _control->Verdict = verdict;
            var text = $"party {Index}, round {_control->RoundOf(Index)}: {message}";
            text.AsSpan(0, Math.Min(text.Length, LitmusControl.MessageChars - 1)).CopyTo(new Span<char>(_control->Message, LitmusControl.MessageChars));
        }

        return false;
    }

    private bool AwaitTurn(ref long turn, long round)
    {
        var started = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref turn) < round)
        {
            var waited = Stopwatch.GetElapsedTime(started);
            if (waited < Awake)
            {
                continue;
            }

            Thread.Yield();
            if (IsStopped)
            {
                return false;
            }

            if (waited > _patience + _lateness)
            {
                return GiveUp("another party did not come");
            }
        }

        return !IsStopped;
    }
}
