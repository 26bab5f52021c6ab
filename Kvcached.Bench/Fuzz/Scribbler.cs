using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>A second thread of a hostile client: while the daemon reads, it writes over records, heads, ends and what else the client can write.</summary>
internal sealed unsafe class Scribbler : IDisposable
{
    /// <summary>Words between sleeps: others want the processor, too.</summary>
    private const int Burst = 64;

    private readonly HostileConnection _connection;
    private readonly int _lanes;
    private readonly Random _random;
    private readonly Thread _thread;
    private volatile bool _stop;
    private int _written;

    public Scribbler(HostileConnection connection, int lanes, int seed)
    {
        (_connection, _lanes, _random) = (connection, lanes, new Random(seed));
        _thread = new Thread(Run) { Name = "scribbler", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Ends the thread.</summary>
    /// <returns>Words written.</returns>
    public int Stop()
    {
        _stop = true;
        _thread.Join();
        return _written;
    }

    public void Dispose() => Stop();

    private void Run()
    {
        while (!_stop)
        {
            for (var i = 0; i < Burst; i++, _written++)
            {
                Write();
            }

            Thread.Sleep(1);
        }
    }

    private void Write()
    {
        var area = _connection.ClientArea;
        switch (_random.Next(16))
        {
            case 0:
                Store(area + RingLayout.CompletionHead, Value());
                break;
            case 1:
                Store(area + RingLayout.ClientSleeps, Value());
                break;
            case 2:
                Store(area + RingLayout.TimelineAt(_connection.RingBytes, _random.Next(_lanes)) + (8 * _random.Next(8)), Value());
                break;
            default:
                // Behind the tail: what has been published and perhaps not read yet.
                var behind = *(ulong*)(area + RingLayout.SubmissionTail) - (ulong)(8 * _random.Next(1, 200));
                Store(area + RingLayout.Ring + (behind & (ulong)(_connection.RingBytes - 1) & ~7UL), _random.Next(3) == 0 ? Value() : *(ulong*)(area + RingLayout.Ring + (8 * _random.Next(_connection.RingBytes / 8))));
                break;
        }
    }

    private ulong Value() => _random.Next(5) switch
    {
        0 => ulong.MaxValue,
        1 => 0,
        2 => (ulong)_random.Next(64),
        3 => 1UL << _random.Next(64),
        _ => (ulong)_random.NextInt64(),
    };

    private static void Store(byte* at, ulong value) => Volatile.Write(ref *(ulong*)at, value);
}
