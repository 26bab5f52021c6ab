namespace Kvcached.Bench.Ratios;

/// <summary>On which side of its goal a value must lie. The goal itself is met.</summary>
internal enum GoalDirection
{
    AtMost,
    AtLeast,
}

/// <summary>What a line says: <c>inconclusive</c> where the noise is above half of what lies between value and goal.</summary>
internal enum Verdict
{
    Holds,
    Inconclusive,
    Fails,
}

/// <summary>What a comparison comes to: a value made from a run of each side, and the goal that it must meet.</summary>
internal sealed record RatioGoal(string Name, string Unit, double Goal, GoalDirection Direction, Func<double, double, double> ValueOf)
{
    /// <summary>A over B.</summary>
    public static double Quotient(double a, double b) => a / b;

    /// <summary>A alone: B stands beside it.</summary>
    public static double OfA(double a, double b) => a;

    public bool IsMet(double value) => Direction == GoalDirection.AtMost ? value <= Goal : value >= Goal;

    public Verdict Judge(double value, double noise) =>
        double.IsNaN(value) || double.IsNaN(noise) || noise > Math.Abs(value - Goal) / 2 ? Verdict.Inconclusive
        : IsMet(value) ? Verdict.Holds
        : Verdict.Fails;
}
