using System.Collections.Concurrent;
using System.Diagnostics;
using Kvcached.Daemon.Processes;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>The model processes of a run, all of which do the same at a time.</summary>
internal sealed class ModelProcesses : IDisposable
{
    private static readonly TimeSpan _silenceLimit = TimeSpan.FromSeconds(150);

    private readonly BlockingCollection<(ModelProcess Model, ModelMessage? Message)> _messages = [];
    private readonly List<ModelProcess> _models = [];

    /// <summary>Starts a process for each task.</summary>
    public ModelProcesses(IEnumerable<ModelTask> tasks)
    {
        try
        {
            _models.AddRange(tasks.Select(task => new ModelProcess(task, _messages)));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public IReadOnlyList<ModelProcess> Models => _models;

    public void TellAll(string line) => _models.ForEach(model => model.Tell(line));

    /// <summary>Waits until all have come to a phase.</summary>
    /// <param name="phase">The phase.</param>
    /// <param name="daemon">The daemon that they use; null for none.</param>
    /// <param name="running">Called whenever one has told how far it is.</param>
    /// <exception cref="DemoFailedException">One ends, says nothing for long, or the daemon ends.</exception>
    public void AwaitAll(ModelPhase phase, DaemonProcess? daemon = null, Action? running = null)
    {
        var heard = Stopwatch.GetTimestamp();
        while (_models.Any(model => model.Last.Phase != phase))
        {
            if (daemon is { HasExited: true })
            {
                throw new DemoFailedException($"The daemon has ended while models used it.{daemon.Tail()}");
            }

            if (!_messages.TryTake(out var said, TimeSpan.FromSeconds(1)))
            {
                if (Stopwatch.GetElapsedTime(heard) > _silenceLimit)
                {
                    throw new DemoFailedException($"No model process has said anything for {_silenceLimit.TotalSeconds} s.");
                }

                continue;
            }

            heard = Stopwatch.GetTimestamp();
            if (said.Message is { } message)
            {
                said.Model.Last = message;
                running?.Invoke();
            }
            else if (said.Model.Last.Phase != ModelPhase.Verified)
            {
                throw Ended(said.Model, daemon);
            }
        }
    }

    public void Dispose()
    {
        _models.ForEach(model => model.Dispose());
        _models.Clear();
    }

    /// <summary>A process has ended before its time: because of the daemon, where that has ended.</summary>
    private static DemoFailedException Ended(ModelProcess model, DaemonProcess? daemon)
    {
        var errors = model.ReadErrors();
        return new DemoFailedException(daemon is { HasExited: true }
            ? $"The daemon has ended while models used it.{daemon.Tail()}"
            : $"The process of {model.Task.Tenant} has ended before its time: {(errors.Length > 0 ? errors : "it wrote nothing")}");
    }
}
