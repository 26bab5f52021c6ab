using System.Diagnostics;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// Hostile clients against a real daemon, beside two honest client processes and a witness, who verify their data throughout. The hostile ones attach as any client does and then
/// write what they like to the socket and into their memory, but for the pool, which is cooperative. What each does follows from the seed and its number; what the daemon sees of it depends on
/// timing, too.
/// </summary>
internal sealed class FuzzRun(FuzzOptions options, Action<string>? say)
{
    private const int Workers = 2;
    private const int Honest = 2;
    private const int ControlEvery = 8;

    private static readonly TimeSpan _endLimit = TimeSpan.FromSeconds(30);

    /// <summary>The fuzzer's own process has the hostile clients: it is not to be killed for them.</summary>
    private static readonly string[] _serve = ["--pool", "32MiB", "--cold", "64MiB", "--lease", "30", "--on-lease", "quarantine"];

    private readonly FuzzTally _tally = new();
    private readonly LiveCoverage _coverage = new(32L << 20);
    private readonly List<string> _failures = [];
    private int _connections;

    public FuzzReport Run()
    {
        var watch = Stopwatch.StartNew();
        var folder = Directory.CreateTempSubdirectory("kvcached-fuzz-").FullName;
        var socket = Path.Combine(folder, "fuzz.sock");
        using var daemon = DaemonProcess.StartOn(socket, _serve);
        var honest = Enumerable.Range(0, Honest).Select(i => ClientProcess.Start(socket, (options.Seed * 31) + i, "--tenant", $"honest{i}", "--sequences", "24", "--pause", "1")).ToList();
        try
        {
            honest.ForEach(client => client.AwaitReady());
            using var health = new DaemonWatch(daemon, [Witness.Tenant, .. Enumerable.Range(0, Honest).Select(i => $"honest{i}")]);
            using var witness = new Witness(socket, _coverage, options.Seed);
            var before = daemon.ReadDescriptors();
            Attack(socket, witness, health, watch);
            health.Stop();
            return Conclude(daemon, honest, witness, health, before) with { ElapsedS = Math.Round(watch.Elapsed.TotalSeconds, 1) };
        }
        finally
        {
            honest.ForEach(client => client.Dispose());
            daemon.Kill();
            Directory.Delete(folder, recursive: true);
        }
    }

    private void Attack(string socket, Witness witness, DaemonWatch health, Stopwatch watch)
    {
        var workers = Enumerable.Range(0, Workers).Select(_ => new Thread(() => Work(socket, health)) { Name = "hostile" }).ToList();
        workers.ForEach(worker => worker.Start());
        var said = 0L;
        while (workers.Exists(worker => worker.IsAlive))
        {
            try
            {
                witness.Step();
                Thread.Sleep(1);
            }
            catch (Exception error) when (error is KvException or TimeoutException)
            {
                Fail($"The witness: {error.Message}");
                break;
            }

            if (_tally.Messages / 100_000 > said)
            {
                said = _tally.Messages / 100_000;
                say?.Invoke($"{_tally.Messages} messages by {_tally.Connections} connections in {watch.Elapsed.TotalSeconds:F0} s");
            }
        }

        workers.ForEach(worker => worker.Join());
    }

    private void Work(string socket, DaemonWatch health)
    {
        while (_tally.Messages < options.Messages && !health.Lost.IsCancellationRequested)
        {
            var number = Interlocked.Increment(ref _connections);
            var tally = new ConnectionTally();
            try
            {
                Connect(socket, number, tally, health.Lost);
            }
            catch (Exception error) when (error is System.Net.Sockets.SocketException or ProtocolException or InvalidOperationException or ArgumentException)
            {
                tally.Failure ??= $"Connection {number}: {error.Message}";
            }

            _tally.Add(tally);
            if (tally.Failure is not null)
            {
                say?.Invoke(tally.Failure);
            }
        }
    }

    private void Connect(string socket, int number, ConnectionTally tally, CancellationToken stop)
    {
        var random = new Random((options.Seed * 1_000_003) + number);
        using var connection = new HostileConnection(socket);
        if (number % ControlEvery == 0)
        {
            new ControlAttack(connection, tally, number, random).Run();
        }
        else
        {
            var attack = new RingAttack(connection, _coverage, tally, number, random, stop);
            attack.Run();
            attack.EndAll();
        }
    }

    private FuzzReport Conclude(DaemonProcess daemon, List<ClientProcess> honest, Witness witness, DaemonWatch health, List<string> before)
    {
        // What the daemon says when it fails is the first thing to know.
        var hasCrashed = daemon.HasExited || daemon.Log.Any(line => line.Contains("engine has failed", StringComparison.Ordinal) || line.Contains("nhandled", StringComparison.Ordinal));
        if (hasCrashed || health.Failure is not null)
        {
            Fail($"{health.Failure ?? "The daemon has failed."}{string.Concat(daemon.Log.Where(line => !line.Contains("Information", StringComparison.Ordinal) && !line.Contains("info:", StringComparison.Ordinal)).TakeLast(40).Select(line => $"\n    {line}"))}");
        }

        string[] descriptors = [];
        List<ClientReport> reports = [];
        DaemonStatus? status = null;
        if (!hasCrashed)
        {
            AwaitClients(daemon, Honest + 1);
            descriptors = DaemonRemains.Descriptors(daemon, before);
            reports = StopAll(honest);
            witness.Dispose();
            AwaitClients(daemon, 0);
            status = daemon.ReadStatus();
            daemon.Stop();
        }

        return Describe(reports, witness, health, status, descriptors, hasCrashed);
    }

    private FuzzReport Describe(List<ClientReport> reports, Witness witness, DaemonWatch health, DaemonStatus? status, string[] descriptors, bool hasCrashed) => new()
    {
        ElapsedS = 0,
        Messages = _tally.Messages,
        RecordsRead = _tally.RecordsRead,
        HostileSteps = _tally.Steps,
        ScribbledWords = _tally.Scribbled,
        Connections = _tally.Connections,
        Attached = _tally.Attached,
        Offenders = _tally.Offenders,
        Crashes = hasCrashed ? 1 : 0,
        Hangs = health.SlowestMs > FuzzReport.HangMs || (health.Failure is not null && !hasCrashed) ? 1 : 0,
        StatusAnswers = health.Answers,
        SlowestStatusMs = Math.Round(health.SlowestMs, 1),
        HonestStillestMs = Math.Round(health.StillestMs, 1),
        HonestSteps = reports.Sum(report => report.Steps) + witness.Steps,
        HonestRefused = reports.Sum(report => report.Refused) + witness.Refused,
        Verified = reports.Sum(report => report.Verified) + witness.Verified,
        Mismatched = reports.Sum(report => report.Mismatched) + witness.Mismatched,
        CoveredBlocks = _coverage.Blocks,
        SharedBlocks = _coverage.Violated,
        LeakedBlocks = status?.Totals.ResidentBlocks ?? 0,
        LeakedSlots = status?.Totals.ColdBlocks ?? 0,
        LeakedDescriptors = descriptors,
        ByKind = _tally.Kinds,
        DisconnectedFor = _tally.TopReasons(20),
        Failures = [.. _failures, .. _tally.Failures, .. _coverage.Violations],
    };

    private List<ClientReport> StopAll(List<ClientProcess> honest)
    {
        var reports = new List<ClientReport>();
        foreach (var client in honest)
        {
            try
            {
                reports.Add(client.Stop());
            }
            catch (InvalidOperationException error)
            {
                Fail(error.Message);
            }
        }

        return reports;
    }

    private void AwaitClients(DaemonProcess daemon, int count)
    {
        var since = Stopwatch.GetTimestamp();
        DaemonStatus status;
        while ((status = daemon.ReadStatus()).Clients.Length > count)
        {
            if (Stopwatch.GetElapsedTime(since) > _endLimit)
            {
                Fail($"The daemon still has {status.Clients.Length} clients where {count} live: {string.Join(", ", status.Clients.Take(5).Select(client => $"{client.Name} {client.State} {client.PinnedBytes} bytes pinned"))}.");
                return;
            }

            Thread.Sleep(10);
        }
    }

    private void Fail(string what)
    {
        lock (_failures)
        {
            _failures.Add(what);
        }
    }
}
