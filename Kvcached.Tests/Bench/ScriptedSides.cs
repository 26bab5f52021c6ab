using Kvcached.Bench.Ratios;

namespace Kvcached.Tests.Bench;

/// <summary>Sides that cost what the script says, again from its start where it ends.</summary>
internal sealed class ScriptedSides(double[] a, double[] b, string? missed = null, bool isHeldAgainst = false) : RatioSides
{
    private int _runsOfA;
    private int _runsOfB;

    /// <summary>Runs of each side before the script begins.</summary>
    public int WarmUps { get; init; }

    public Action? OnRun { get; set; }

    public int TimesForgotten { get; private set; }

    public bool IsClosed { get; private set; }

    public string Order { get; private set; } = string.Empty;

    public override double RunA() => Next('A', a, ref _runsOfA);

    public override double RunB() => Next('B', b, ref _runsOfB);

    public int Rounds { get; init; }

    public double? Value { get; init; }

    public override int LeastRounds => Rounds;

    public override double ValueOf(RatioGoal goal, double[] a, double[] b) => Value ?? base.ValueOf(goal, a, b);

    public override bool MeasuresBeside => isHeldAgainst;

    public override void RunBeside() => Order += '*';

    public override void Forget() => TimesForgotten++;

    public override string? Missed(double a, double b) => missed;

    public override IEnumerable<ExtraField> Extra(double a, double b) => [new("field", a)];

    protected override void Dispose(bool disposing)
    {
        IsClosed = true;
        base.Dispose(disposing);
    }

    private double Next(char side, double[] script, ref int runs)
    {
        Order += side;
        OnRun?.Invoke();
        return runs++ < WarmUps ? 1 : script[script.Length == 0 ? 0 : (runs - 1 - WarmUps) % script.Length];
    }
}
