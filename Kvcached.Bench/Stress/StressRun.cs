using System.Diagnostics;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;

namespace Kvcached.Bench.Stress;

/// <summary>
/// Real processes churn on one daemon, each of a tenant of its own, while limits change, the pool is compacted and trimmed, and clients are stopped for a while or killed and followed by
/// others. Every step of every client verifies what it reads.
/// </summary>
internal sealed class StressRun(TimeSpan time, int processes, int seed, Action<string>? say)
{
    private const long MiB = 1 << 20;
    private const long PoolMiB = 32;

    private static readonly TimeSpan _endLimit = TimeSpan.FromSeconds(60);

    private readonly Random _random = new(seed);
    private readonly List<ClientReport> _reports = [];
    private int _started;
    private int _killed;
    private int _stopped;
    private int _limits;
    private int _compactions;
    private int _trims;

    public StressReport Run()
    {
        var watch = Stopwatch.StartNew();
        using var daemon = DaemonProcess.Start("--pool", $"16MiB..{PoolMiB}MiB", "--cold", "256MiB");
        var clients = Enumerable.Range(0, processes).Select(i => Start(daemon, i)).ToArray();
        try
        {
            Array.ForEach(clients, client => client.AwaitReady());
            using (var admin = AdminConnection.Open(daemon.Socket))
            {
                while (watch.Elapsed < time)
                {
                    Act(daemon, admin, clients);
                    Thread.Sleep(_random.Next(20, 200));
                }
            }

            _reports.AddRange(clients.Select(client => client.Stop()));
            var status = AwaitEmpty(daemon);
            daemon.Stop();
            return Describe(status, watch.Elapsed);
        }
        finally
        {
            Array.ForEach(clients, client => client.Dispose());
        }
    }

    private ClientProcess Start(DaemonProcess daemon, int tenant) =>
        ClientProcess.Start(daemon.Socket, (seed * 1000) + _started++, "--tenant", $"tenant{tenant}", "--sequences", "32");

    private void Act(DaemonProcess daemon, ControlClient admin, ClientProcess[] clients)
    {
        var at = _random.Next(clients.Length);
        switch (_random.Next(12))
        {
            case 0:
                clients[at].Kill();
                clients[at].Dispose();
                clients[at] = Start(daemon, at);
                clients[at].AwaitReady();
                _killed++;
                break;
            case 1:
                Signals.Send(clients[at].Pid, Signals.Stop);
                Thread.Sleep(_random.Next(50, 500));
                Signals.Send(clients[at].Pid, Signals.Continue);
                _stopped++;
                break;
            case 2 or 3:
                admin.Ask<OkMessage>(new CompactMessage());
                _compactions++;
                break;
            case 4:
                admin.Ask<OkMessage>(new TrimMessage());
                _trims++;
                break;
            case 5 or 6 or 7:
                admin.Ask<OkMessage>(new LimitMessage
                {
                    Tenant = $"tenant{at}",
                    MinBytes = _random.Next((int)(PoolMiB / processes / 2)) * MiB,
                    MaxBytes = (4 + _random.Next((int)PoolMiB)) * MiB,
                    Weight = _random.Next(1, 5),
                });
                _limits++;
                break;
        }

        if (clients.FirstOrDefault(client => client.HasExited) is { } ended)
        {
            ended.Stop();
            throw new InvalidOperationException($"Client process {ended.Pid} has ended by itself.{daemon.Tail()}");
        }

        say?.Invoke($"{_killed} killed, {_stopped} stopped, {_limits} limits, {_compactions} compactions, {_trims} trims");
    }

    private static DaemonStatus AwaitEmpty(DaemonProcess daemon)
    {
        var since = Stopwatch.GetTimestamp();
        while (true)
        {
            var status = daemon.ReadStatus();
            if (status.Clients.Length == 0)
            {
                return status;
            }

            if (Stopwatch.GetElapsedTime(since) > _endLimit)
            {
                throw new InvalidOperationException($"The daemon still has {status.Clients.Length} clients {_endLimit.TotalSeconds} s after all were gone.{daemon.Tail()}");
            }

            Thread.Sleep(20);
        }
    }

    private StressReport Describe(DaemonStatus status, TimeSpan elapsed) => new()
    {
        ElapsedS = Math.Round(elapsed.TotalSeconds, 1),
        Processes = processes,
        Steps = status.Totals.Steps,
        RefusedSteps = status.Totals.RefusedSteps,
        ClientsKilled = _killed,
        ClientsStopped = _stopped,
        LimitsChanged = _limits,
        Compactions = _compactions,
        Trims = _trims,
        EvictedBlocks = status.Totals.EvictedBlocks,
        ReloadedBlocks = status.Totals.ReloadedBlocks,
        CompactedBlocks = status.Totals.CompactedBlocks,
        VerifiedGranules = _reports.Sum(report => report.Verified),
        MismatchedGranules = _reports.Sum(report => report.Mismatched),
        LeakedBlocks = status.Totals.ResidentBlocks,
        LeakedSlots = status.Totals.ColdBlocks,
    };
}
