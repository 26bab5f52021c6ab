namespace Kvcached.Bench.Ratios;

/// <summary>A figure that a line carries beside the ones that every line has.</summary>
internal readonly record struct ExtraField(string Name, double Value);

/// <summary>
/// The two sides of a comparison, laid out in memory and ready to run again and again. Each run does the same work and returns its cost;
/// both sides do so in one unit.
/// </summary>
internal abstract class RatioSides : IDisposable
{
    /// <summary>Whether both sides compute on the calling thread, which is then pinned to one processor.</summary>
    public virtual bool IsPinned => true;

    public abstract double RunA();

    public abstract double RunB();

    /// <summary>Rounds that the sides want at the least, however quick the pace.</summary>
    public virtual int LeastRounds => 0;

    /// <summary>What the rounds come to; the median, if the sides do not say otherwise.</summary>
    public virtual double ValueOf(RatioGoal goal, double[] a, double[] b) => RatioStatistics.Median(a.Zip(b, goal.ValueOf));

    /// <summary>How far a second value may lie from this one, in its unit, given the ratios of A to the A after it.</summary>
    public virtual double NoiseOf(double value, double[] aOverA) => RatioStatistics.NoiseOf(aOverA) * value;

    /// <summary>Whether <see cref="RunBeside"/> measures something.</summary>
    public virtual bool MeasuresBeside => false;

    /// <summary>Measures what the sides are held against, over the bytes of B.</summary>
    public virtual void RunBeside()
    {
    }

    /// <summary>Drops what has been collected for <see cref="Missed"/> and <see cref="Extra"/>: rounds count from here.</summary>
    public virtual void Forget()
    {
    }

    /// <summary>Why the line fails whatever its value, given the medians of both sides; null if it does not.</summary>
    public virtual string? Missed(double a, double b) => null;

    /// <summary>Further figures of the line, given the medians of both sides.</summary>
    public virtual IEnumerable<ExtraField> Extra(double a, double b) => [];

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
    }
}
