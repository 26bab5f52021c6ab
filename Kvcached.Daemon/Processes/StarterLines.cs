using System.Collections.Concurrent;

namespace Kvcached.Daemon.Processes;

/// <summary>Standard input of a process that another one started, line by line. Where it ends, who started the process is gone, and the process ends.</summary>
internal sealed class StarterLines
{
    private readonly BlockingCollection<string> _lines = [];

    public StarterLines() => new Thread(Watch) { IsBackground = true, Name = "standard input" }.Start();

    /// <summary>Waits for the next line.</summary>
    public string Read() => _lines.Take();

    private void Watch()
    {
        while (Console.In.ReadLine() is { } line)
        {
            _lines.Add(line);
        }

        Environment.Exit(1);
    }
}
