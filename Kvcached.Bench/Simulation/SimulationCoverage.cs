namespace Kvcached.Bench.Simulation;

/// <summary>Kinds of operation of a simulated program.</summary>
public enum SimulatedCommand
{
    /// <summary>A step over a batch.</summary>
    Step,

    /// <summary>Creates a sequence.</summary>
    Create,

    /// <summary>Truncates a sequence.</summary>
    Truncate,

    /// <summary>Frees a sequence.</summary>
    Free,

    /// <summary>Commits token ids.</summary>
    Commit,

    /// <summary>Cleans a sequence.</summary>
    Clean,

    /// <summary>Evicts a sequence.</summary>
    Evict,

    /// <summary>Prefetches a sequence.</summary>
    Prefetch,

    /// <summary>Moves blocks on a lane.</summary>
    Move,

    /// <summary>Moves blocks on the background queue.</summary>
    MoveInBackground,

    /// <summary>Asks for the pool to be compacted.</summary>
    Compact,

    /// <summary>Asks for the pool to be compacted and shrunk to its floor.</summary>
    Trim,

    /// <summary>Restores the physical order of a sequence.</summary>
    RestoreOrder,

    /// <summary>Changes what the client's tenant may have.</summary>
    Limit,

    /// <summary>Opens a contiguous window of a sequence.</summary>
    OpenWindow,

    /// <summary>Closes one.</summary>
    CloseWindow,

    /// <summary>A client dies: its kernels stop where they are.</summary>
    Kill,

    /// <summary>A client is condemned, dead or not, and another takes its place.</summary>
    Condemn,

    /// <summary>A client that is condemned is proved gone.</summary>
    ProveGone,

    /// <summary>What steps and transfers do to others: a block is dropped to make room.</summary>
    MakeRoom,

    /// <summary>What steps, transfers and passes of compaction do to others: a block is moved to empty its segment.</summary>
    Empty,
}

/// <summary>
/// Counts: operations by kind and outcome, and which commands met blocks in which conditions, while a step in flight covered them and while none
/// did. What cannot be met, and why, is in <see cref="ImpossibleCoverage"/>.
/// </summary>
public sealed class SimulationCoverage
{
    private static readonly int _commands = Enum.GetValues<SimulatedCommand>().Length;
    private static readonly int _states = Enum.GetValues<BlockCondition>().Length;

    private readonly long[] _operations = new long[_commands];
    private readonly long[] _windows = new long[Enum.GetValues<WindowEvent>().Length];
    private readonly long[] _deaths = new long[Enum.GetValues<DeathEvent>().Length];
    private readonly long[] _met = new long[_commands * _states * 2];

    /// <summary>Steps that were refused.</summary>
    public long RefusedSteps { get; set; }

    /// <summary>Those of them that are more than their tenant may ever hold.</summary>
    public long OverQuotaSteps { get; set; }

    /// <summary>Bytes that were filled with zeros before another tenant's step.</summary>
    public long ScrubbedBytes { get; set; }

    /// <summary>Steps that were accepted after having been Busy.</summary>
    public long BusySteps { get; set; }

    /// <summary>Steps that were not begun, for the depth of their lane.</summary>
    public long TooManySteps { get; set; }

    /// <summary>Operations that were planned; refused steps are not among them.</summary>
    public long Planned => _operations.Sum() - RefusedSteps;

    /// <summary>Blocks evicted, reloaded, moved and cleaned.</summary>
    public long Evicted { get; set; }

    /// <summary>See <see cref="Evicted"/>.</summary>
    public long Reloaded { get; set; }

    /// <summary>See <see cref="Evicted"/>.</summary>
    public long Moved { get; set; }

    /// <summary>See <see cref="Evicted"/>.</summary>
    public long Compacted { get; set; }

    /// <summary>See <see cref="Evicted"/>.</summary>
    public long Reordered { get; set; }

    /// <summary>See <see cref="Evicted"/>.</summary>
    public long Cleaned { get; set; }

    /// <summary>Units of the pool that lost their memory, that got some, and those of these that had lost some before.</summary>
    public long TrimmedUnits { get; set; }

    /// <summary>See <see cref="TrimmedUnits"/>.</summary>
    public long GrownUnits { get; set; }

    /// <summary>See <see cref="TrimmedUnits"/>.</summary>
    public long GrownAgainUnits { get; set; }

    /// <summary>Times that memory came later, and that it was refused.</summary>
    public long Arrivals { get; set; }

    /// <summary>See <see cref="Arrivals"/>.</summary>
    public long Refusals { get; set; }

    /// <summary>Operations of a kind.</summary>
    public long Operations(SimulatedCommand command) => _operations[(int)command];

    /// <summary>How often something happened to contiguous windows.</summary>
    public long Windows(WindowEvent what) => _windows[(int)what];

    /// <summary>How often something was so when a client died.</summary>
    public long Deaths(DeathEvent what) => _deaths[(int)what];

    /// <summary>How often a command met a state.</summary>
    public long Met(SimulatedCommand command, BlockCondition state, bool isLive) => _met[IndexOf(command, state, isLive)];

    /// <summary>Counts an operation.</summary>
    public void Count(SimulatedCommand command) => _operations[(int)command]++;

    /// <summary>Counts what happened to contiguous windows.</summary>
    public void Count(WindowEvent what, long times = 1) => _windows[(int)what] += times;

    /// <summary>Counts what was so when a client died.</summary>
    public void Count(DeathEvent what, bool isSo) => _deaths[(int)what] += isSo ? 1 : 0;

    /// <summary>Counts a block that a command meets.</summary>
    public void Meet(SimulatedCommand command, BlockCondition state, bool isLive) => _met[IndexOf(command, state, isLive)]++;

    /// <summary>Adds another run's counts.</summary>
    public void Add(SimulationCoverage other)
    {
        for (var i = 0; i < _operations.Length; i++)
        {
            _operations[i] += other._operations[i];
        }

        for (var i = 0; i < _windows.Length; i++)
        {
            _windows[i] += other._windows[i];
        }

        for (var i = 0; i < _deaths.Length; i++)
        {
            _deaths[i] += other._deaths[i];
        }

        for (var i = 0; i < _met.Length; i++)
        {
            _met[i] += other._met[i];
        }

        RefusedSteps += other.RefusedSteps;
        OverQuotaSteps += other.OverQuotaSteps;
        ScrubbedBytes += other.ScrubbedBytes;
        BusySteps += other.BusySteps;
        TooManySteps += other.TooManySteps;
        Evicted += other.Evicted;
        Reloaded += other.Reloaded;
        Moved += other.Moved;
        Compacted += other.Compacted;
        Reordered += other.Reordered;
        Cleaned += other.Cleaned;
        TrimmedUnits += other.TrimmedUnits;
        GrownUnits += other.GrownUnits;
        GrownAgainUnits += other.GrownAgainUnits;
        Arrivals += other.Arrivals;
        Refusals += other.Refusals;
    }

    private static int IndexOf(SimulatedCommand command, BlockCondition state, bool isLive) => ((((int)command * _states) + (int)state) * 2) + (isLive ? 1 : 0);
}
