namespace Kvcached.Bench.Ratios;

/// <summary>Does the same over and over on a thread of its own, while it is not paused. It begins paused. Pausing returns once nothing is under way.</summary>
internal sealed class PausableLoop : IDisposable
{
    private readonly Action _cycle;
    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim _running = new();
    private readonly Thread _thread;
    private volatile bool _isEnding;
    private Exception? _failure;

    /// <summary>Starts the thread, at rest.</summary>
    /// <param name="cycle">What to do; returns once nothing of it is under way.</param>
    public PausableLoop(Action cycle)
    {
        _cycle = cycle;
        _thread = new Thread(Run);
        _thread.Start();
    }

    public void Resume() => _running.Set();

    public void Pause()
    {
        _running.Reset();
        lock (_gate)
        {
            if (_failure is not null)
            {
                throw new InvalidOperationException("What runs beside has ended.", _failure);
            }
        }
    }

    public void Dispose()
    {
        _isEnding = true;
        _running.Set();
        _thread.Join();
        _running.Dispose();
    }

    private void Run()
    {
        while (!_isEnding)
        {
            _running.Wait();
            lock (_gate)
            {
                try
                {
                    if (_running.IsSet && !_isEnding)
                    {
                        _cycle();
                    }
                }
                catch (Exception e)
                {
                    _failure = e;
                    return;
                }
            }
        }
    }
}
