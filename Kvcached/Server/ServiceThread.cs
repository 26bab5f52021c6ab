using System.Collections.Concurrent;
using System.Diagnostics;

namespace Kvcached.Server;

/// <summary>
/// A thread that does, one after another, what may have to wait for the device: drivers allocate, register and free when they like, and the server's thread waits for nothing (I1).
/// Thread-safe.
/// </summary>
internal sealed class ServiceThread : IDisposable
{
    private readonly BlockingCollection<Action> _work = [];
    private readonly TimeSpan _interval;
    private readonly Action _look;
    private readonly Action<Exception> _failed;
    private readonly Thread _thread;

    /// <summary>Starts the thread.</summary>
    /// <param name="interval">About how often it does <paramref name="look"/>, beside what is posted.</param>
    /// <param name="look">What is done again and again.</param>
    /// <param name="failed">Told what was thrown by anything that the thread did.</param>
    public ServiceThread(TimeSpan interval, Action look, Action<Exception> failed)
    {
        (_interval, _look, _failed) = (interval, look, failed);
        _thread = new Thread(Run) { Name = "kvcached service", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Has something done, if the service has not ended.</summary>
    public bool TryPost(Action work)
    {
        try
        {
            _work.Add(work);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>Has something done; at once and on this thread where the service has ended.</summary>
    public void Post(Action work)
    {
        if (!TryPost(work))
        {
            work();
        }
    }

    /// <summary>Does what was posted, and ends the thread.</summary>
    public void Dispose()
    {
        _work.CompleteAdding();
#pragma warning disable RS0030 // Teardown: what was made is given back.
        _thread.Join();
#pragma warning restore RS0030
    }

    private void Run()
    {
        var looked = Stopwatch.GetTimestamp();
        while (!_work.IsCompleted)
        {
            try
            {
                if (_work.TryTake(out var work, _interval))
                {
                    work();
                }

                if (Stopwatch.GetElapsedTime(looked) >= _interval)
                {
                    _look();
                    looked = Stopwatch.GetTimestamp();
                }
            }
            catch (Exception error)
            {
                looked = Stopwatch.GetTimestamp();
                _failed(error);
            }
        }
    }
}
