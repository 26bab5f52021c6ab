using System.Diagnostics;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// Asks a daemon for its status all the time, on a thread of its own: how long the slowest answer took, and for how long a tenant's steps stood still. Cancels the run when there is no
/// daemon any more.
/// </summary>
internal sealed class DaemonWatch : IDisposable
{
    private static readonly TimeSpan _interval = TimeSpan.FromMilliseconds(50);

    private readonly ControlClient _control;
    private readonly Thread _thread;
    private readonly CancellationTokenSource _lost = new();
    private readonly Dictionary<string, (long Steps, long Since)> _progress = [];
    private volatile bool _stop;

    /// <summary>Begins to watch.</summary>
    /// <param name="daemon">The daemon.</param>
    /// <param name="tenants">Whose steps must go on.</param>
    public DaemonWatch(DaemonProcess daemon, IEnumerable<string> tenants)
    {
        _control = AdminConnection.Open(daemon.Socket);
        foreach (var tenant in tenants)
        {
            _progress[tenant] = (0, Stopwatch.GetTimestamp());
        }

        _thread = new Thread(Run) { Name = "watch", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Cancelled when the daemon does not answer any more.</summary>
    public CancellationToken Lost => _lost.Token;

    public string? Failure { get; private set; }

    public double SlowestMs { get; private set; }

    /// <summary>The longest that an honest tenant's steps stood still.</summary>
    public double StillestMs { get; private set; }

    public long Answers { get; private set; }

    /// <summary>Ends the thread: what it has seen is final.</summary>
    public void Stop()
    {
        _stop = true;
        _thread.Join();
    }

    public void Dispose()
    {
        Stop();
        _control.Dispose();
        _lost.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stop)
            {
                var asked = Stopwatch.GetTimestamp();
                var status = _control.Ask<StatusMessage>(new GetStatusMessage()).Status;
                SlowestMs = Math.Max(SlowestMs, Stopwatch.GetElapsedTime(asked).TotalMilliseconds);
                Answers++;
                Look(status);
                Thread.Sleep(_interval);
            }
        }
        catch (KvException error)
        {
            Failure = error.Message;
            _lost.Cancel();
        }
    }

    private void Look(DaemonStatus status)
    {
        var now = Stopwatch.GetTimestamp();
        foreach (var tenant in status.Tenants)
        {
            if (_progress.TryGetValue(tenant.Name, out var last))
            {
                StillestMs = Math.Max(StillestMs, Stopwatch.GetElapsedTime(last.Since, now).TotalMilliseconds);
                if (tenant.Steps != last.Steps)
                {
                    _progress[tenant.Name] = (tenant.Steps, now);
                }
            }
        }
    }
}
