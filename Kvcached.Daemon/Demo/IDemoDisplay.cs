namespace Kvcached.Daemon.Demo;

/// <summary>Where the demo shows what it does while it runs.</summary>
internal interface IDemoDisplay
{
    /// <summary>Says what happens next, or what came of it.</summary>
    void Say(string text);

    /// <summary>Shows how far a run is.</summary>
    void Show(in RunSnapshot snapshot);
}

/// <summary>Lines of text, at most one a second and run: for what is not a terminal.</summary>
internal sealed class LineDisplay(TextWriter output) : IDemoDisplay
{
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(1);

    private string _run = string.Empty;
    private TimeSpan _last;

    public void Say(string text) => output.WriteLine(text);

    public void Show(in RunSnapshot snapshot)
    {
        var isLast = snapshot.Step == snapshot.Steps;
        if (snapshot.Run == _run && snapshot.Elapsed - _last < LineEvery && !isLast)
        {
            return;
        }

        _run = snapshot.Run;
        _last = snapshot.Elapsed;
        var row = SnapshotRow.Of(snapshot);
        output.WriteLine($"{row.Run}: step {row.Steps}, {row.TokensPerSecond} tokens/s, resident {row.Resident}, cold {row.Cold}, cleaned {row.Cleaned}, dropped {row.Dropped}, reloaded {row.Reloaded}, moved {row.Moved}, out {row.Out}, in {row.In}");
    }
}
