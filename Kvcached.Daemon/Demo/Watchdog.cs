namespace Kvcached.Daemon.Demo;

/// <summary>Ends the process with exit code 1 if it is not disposed in time: for calls that may never return.</summary>
internal sealed class Watchdog : IDisposable
{
    private readonly ManualResetEventSlim _done = new();
    private readonly Thread _thread;

    public Watchdog(TimeSpan limit, string message)
    {
        _thread = new Thread(() =>
        {
            if (!_done.Wait(limit))
            {
                Console.Error.WriteLine($"kvcached: demo: {message}");
                Environment.Exit(1);
            }
        })
        {
            IsBackground = true,
            Name = "watchdog",
        };
        _thread.Start();
    }

    public void Dispose()
    {
        _done.Set();
        _thread.Join();
        _done.Dispose();
    }
}
