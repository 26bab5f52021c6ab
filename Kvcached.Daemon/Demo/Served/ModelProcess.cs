using System.Collections.Concurrent;
using System.Diagnostics;
using Kvcached.Daemon.Processes;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>A model as a process of its own (<see cref="ModelCommand"/>).</summary>
internal sealed class ModelProcess : IDisposable
{
    private readonly Process _process;
    private readonly Task<string> _errors;

    /// <summary>Starts the process and tells it its task.</summary>
    /// <param name="task">The task.</param>
    /// <param name="messages">Gets what it says; null once it says no more.</param>
    public ModelProcess(ModelTask task, BlockingCollection<(ModelProcess Model, ModelMessage? Message)> messages)
    {
        Task = task;
        _process = OwnProcess.Start(typeof(ModelProcess).Assembly, [ModelCommand.Name]);
        _errors = _process.StandardError.ReadToEndAsync();
        _process.OutputDataReceived += (_, line) => messages.Add((this, line.Data is null ? null : ModelMessage.Parse(line.Data)));
        _process.BeginOutputReadLine();
        Tell(task.ToJson());
    }

    public ModelTask Task { get; }

    public int Pid => _process.Id;

    /// <summary>What it has said last.</summary>
    public ModelMessage Last { get; set; } = new() { Phase = ModelPhase.Running };

    public void Tell(string line)
    {
        try
        {
            _process.StandardInput.WriteLine(line);
        }
        catch (IOException)
        {
            // It is gone already: what it wrote tells why.
        }
    }

    /// <summary>Waits until the process is gone, and returns what it wrote to standard error.</summary>
    public string ReadErrors()
    {
        _process.WaitForExit();
        return _errors.Result.Trim();
    }

    /// <summary>Kills it, if it still runs.</summary>
    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
        _process.Dispose();
    }
}
