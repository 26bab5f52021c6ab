using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Host;
using Kvcached.Kernels;

namespace Kvcached.Tests.Litmus;

/// <summary>A team of the calling thread and one helper.</summary>
internal unsafe interface ILitmusTeam : IDisposable
{
    /// <summary>As <see cref="WorkerTeam.Run"/>. False: the helper's items were not counted for as long as a sleeper sleeps.</summary>
    bool Run(in CpuKernel kernel, void* arguments, int items);
}

/// <summary>The library's.</summary>
internal sealed unsafe class OwnTeam : ILitmusTeam
{
    internal const double SpinMicroseconds = 30;
    private readonly WorkerTeam _team;
    private readonly KernelLaunch[] _launch;

    internal OwnTeam(CpuDevice device)
    {
        _team = new WorkerTeam(device, workers: 2, SpinMicroseconds);
        _launch = _team.AcquireLaunch();
    }

    public bool Run(in CpuKernel kernel, void* arguments, int items)
    {
        _team.Run(ref _launch[0], kernel, 0, arguments, items);
        return true;
    }

    public void Dispose() => _team.Stop();
}

/// <summary>A copy of the library's, in steps that a fault can replace. Launch and bell are the library's.</summary>
internal unsafe class TeamCopy : ILitmusTeam
{
    private readonly TimeSpan _patience;
    private readonly KernelLaunch* _launch = (KernelLaunch*)NativeMemory.AlignedAlloc(2 * KernelLaunch.Bytes, KernelLaunch.Bytes);
    private readonly ILitmusBell _bell;
    private readonly Thread _helper;
    private volatile bool _stop;

    internal TeamCopy(TimeSpan patience, Func<nint, ILitmusBell>? bell = null)
    {
        _patience = patience;
        new Span<byte>(_launch, 2 * KernelLaunch.Bytes).Clear();
        _launch->Prepare();
        var address = (nint)(_launch + 1);
        _bell = bell?.Invoke(address) ?? new OwnBell(address, SpinBudget.TicksOf(OwnTeam.SpinMicroseconds));
        _helper = new Thread(Help) { IsBackground = true };
        _helper.Start();
    }

    public bool Run(in CpuKernel kernel, void* arguments, int items)
    {
        _launch->Open(kernel, 0, arguments, items);
        _bell.Ring();
        var mine = 0;
        for (; _launch->TryClaim(out var item); mine++)
        {
            item.Run(item.Arguments, item.Item, 0);
        }

        var isCounted = AwaitHelper(_launch, items - mine);
        Close(_launch);
        return isCounted;
    }

    public void Dispose()
    {
        _stop = true;
        do
        {
            _bell.Ring();
        }
        while (!_helper.Join(1));

        NativeMemory.AlignedFree(_launch);
    }

    protected virtual bool AwaitHelper(KernelLaunch* launch, int items)
    {
        var counted = new Counted(launch, items);
        return launch->Finished.Await(ref counted, 0, _patience);
    }

    protected virtual void Close(KernelLaunch* launch) => launch->Close();

    protected virtual void RunAndCount(KernelLaunch* launch, LaunchItem item)
    {
        item.Run(item.Arguments, item.Item, 1);
        launch->Complete(1);
    }

    private void Help()
    {
        while (!_stop)
        {
            var claimed = default(LaunchItem);
            _bell.Await(() => _launch->TryClaim(out claimed) || _stop, TimeSpan.FromDays(1));
            if (claimed.Run != null)
            {
                RunAndCount(_launch, claimed);
            }
        }
    }

    private readonly struct Counted(KernelLaunch* launch, int items) : ICondition
    {
        public bool Holds() => launch->Completed == items;
    }
}

/// <summary>Counts an item before it has run.</summary>
internal sealed unsafe class CountsEarly(TimeSpan patience) : TeamCopy(patience)
{
    protected override void RunAndCount(KernelLaunch* launch, LaunchItem item)
    {
        launch->Complete(1);
        item.Run(item.Arguments, item.Item, 1);
    }
}

/// <summary>Does not wait for the helper.</summary>
internal sealed unsafe class ReturnsEarly(TimeSpan patience) : TeamCopy(patience)
{
    protected override bool AwaitHelper(KernelLaunch* launch, int items) => true;
}

/// <summary>Leaves a launch open: the next one's fields are written while items can be claimed.</summary>
internal sealed unsafe class LeavesOpen(TimeSpan patience) : TeamCopy(patience)
{
    protected override void Close(KernelLaunch* launch)
    {
    }
}

/// <summary>
/// Launches one after another: each wakes the helper, runs every item once, on its own arguments, and what the items write is there when it returns. The
/// helper runs on another processor.
/// </summary>
internal sealed unsafe class LaunchAndReturn() : LitmusTest<ILitmusTeam>(
    "launch and return",
    1,
    (party, _) => new OwnTeam(party.Device),
    new Fault<ILitmusTeam>(nameof(CountsEarly), (party, _) => new CountsEarly(party.Patience)),
    new Fault<ILitmusTeam>(nameof(ReturnsEarly), (party, _) => new ReturnsEarly(party.Patience)),
    new Fault<ILitmusTeam>(nameof(LeavesOpen), (party, _) => new LeavesOpen(party.Patience)),
    new Fault<ILitmusTeam>(nameof(HearsLate), (party, _) => new TeamCopy(party.Patience, bell => new HearsLate(bell))))
{
    private const int MostItems = 6;
    private const int LaunchesOfRound = 16;
    private const int LaunchesPerMeeting = 4;
    private static readonly CpuKernel _kernel = new("litmus", &ItemsOf, &RunItem);
    private static readonly CpuKernel _pin = new("litmus pin", &ItemsOf, &PinHelper);

    internal override bool IsShared => false;

    internal override long LeastRounds => 3000;

    protected override void Run(LitmusParty party, Func<int, ILitmusTeam> make)
    {
        using var team = make(0);
        var launches = (Launch*)party.At(0);
        launches[0] = new Launch { MeetsHelper = party.Patience, Processor = party.ProcessorOf(1) };
        team.Run(_pin, launches, 2);
        for (var round = 1L; party.Begins(round); round++)
        {
            for (var i = 0; i < LaunchesOfRound; i++)
            {
                // Few items, then many. Now and then, the helper must take part: alone, the launching thread would be done before it is awake.
                launches[i] = new Launch
                {
                    First = round * MostItems,
                    Items = i % 2 == 0 ? 2 : 3 + party.Next(MostItems - 2),
                    Spin = party.Next(1 << party.Next(9)),
                    MeetsHelper = i % LaunchesPerMeeting == 0 ? party.Patience : TimeSpan.Zero,
                };
            }

            if (!RunAll(party, team, launches))
            {
                return;
            }

            // Time for the helper to fall asleep in.
            party.Pause(LitmusParty.LongPause);
        }
    }

    private static bool RunAll(LitmusParty party, ILitmusTeam team, Launch* launches)
    {
        // Either at once, for what is late, or at the end, so that launches follow one another closely.
        var checksAtOnce = party.Next(2) == 0;
        for (var i = 0; i < LaunchesOfRound; i++)
        {
            if (!team.Run(_kernel, launches + i, launches[i].Items))
            {
                return party.Violate("the items that the helper has run were not counted");
            }

            if (checksAtOnce && !IsDone(party, launches + i))
            {
                return false;
            }
        }

        for (var i = 0; i < LaunchesOfRound; i++)
        {
            if (!IsDone(party, launches + i))
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsDone(LitmusParty party, Launch* launch)
    {
        for (var i = 0; i < MostItems; i++)
        {
            var (runs, result) = i < launch->Items ? (1, launch->First + i) : (0, 0);
            if (launch->Runs[i] != runs || launch->Results[i] != result)
            {
                return party.Violate($"item {i} of {launch->Items} has run {launch->Runs[i]} times and written {launch->Results[i]} instead of {result}");
            }
        }

        return launch->HasHelper || launch->MeetsHelper == TimeSpan.Zero || party.Violate("the helper was not woken");
    }

    private static int ItemsOf(void* arguments) => throw new NotSupportedException();

    private static void RunItem(void* arguments, int item, int worker)
    {
        var launch = (Launch*)arguments;
        var first = launch->First;
        MeetHelper(launch, worker);
        for (var i = 0; i < launch->Spin; i++)
        {
            Volatile.Read(ref launch->Spin);
        }

        launch->Results[item] = first + item;
        Interlocked.Increment(ref launch->Runs[item]);
    }

    private static void PinHelper(void* arguments, int item, int worker)
    {
        var launch = (Launch*)arguments;
        MeetHelper(launch, worker);
        if (worker != 0)
        {
            ThreadPin.PinCurrent(launch->Processor);
        }
    }

    private static void MeetHelper(Launch* launch, int worker)
    {
        if (worker != 0)
        {
            Volatile.Write(ref launch->HasHelper, true);
        }
        else if (launch->MeetsHelper != TimeSpan.Zero)
        {
            var begun = Stopwatch.GetTimestamp();
            while (!Volatile.Read(ref launch->HasHelper) && Stopwatch.GetElapsedTime(begun) is var waited && waited < launch->MeetsHelper)
            {
                if (waited > LitmusParty.Awake)
                {
                    Thread.Yield();
                }
            }
        }
    }

    /// <summary>A launch's arguments, and what its items have done.</summary>
    private struct Launch
    {
        internal long First;
        internal int Items;
        internal int Spin;
        internal int Processor;
        internal TimeSpan MeetsHelper;
        internal bool HasHelper;
        internal fixed long Results[MostItems];
        internal fixed int Runs[MostItems];
    }
}
