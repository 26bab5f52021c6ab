using System.Diagnostics;
using Kvcached.Bench.Processes;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;

namespace Kvcached.Bench.Kill;

/// <summary>
/// Kills real processes at any instant: clients beside two that must notice nothing, then daemons under clients that must notice at once and start over. The first four clients, and half of the others, are killed
/// in a phase that was chosen, the rest whenever it comes. In the end nothing may be left: what the daemon holds, its descriptors, files and processes are compared with before.
/// </summary>
internal sealed class KillRun(KillOptions options, Action<string>? say)
{
    private const int Survivors = 2;
    private const int AtATime = 3;

    /// <summary>From <see cref="ChurnPhase.Idle"/> on.</summary>
    private const int Phases = 4;

    private static readonly TimeSpan _reclaimLimit = TimeSpan.FromSeconds(30);

    private readonly string[] _serve = ["--device", options.Device, "--pool", "16MiB", "--cold", "64MiB", "--lease", "20", "--max-clients", "16"];
    private readonly Random _random = new(options.Seed);
    private readonly int[] _killed = new int[Enum.GetValues<ChurnPhase>().Length];
    private readonly string _folder = Directory.CreateTempSubdirectory("kvcached-kill-").FullName;
    private double _reclaimedMs;

    public KillReport Run()
    {
        var watch = Stopwatch.StartNew();
        var filesBefore = SharedFiles();
        try
        {
            var clients = KillClients();
            var (noticed, lost, starts) = KillDaemons();
            var leakedFiles = SharedFiles().Except(filesBefore).Concat(Directory.GetFileSystemEntries(_folder)).ToArray();
            return clients with
            {
                ElapsedS = Math.Round(watch.Elapsed.TotalSeconds, 1),
                DaemonsKilled = options.Daemons,
                NoticedMsMost = Math.Round(noticed, 1),
                Mismatched = clients.Mismatched + lost.Sum(report => report.Mismatched),
                Verified = clients.Verified + lost.Sum(report => report.Verified),
                LeakedFiles = leakedFiles,
                LeakedProcesses = clients.LeakedProcesses + starts.Count(HasProcess),
            };
        }
        finally
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private KillReport KillClients()
    {
        var socket = Path.Combine(_folder, "clients.sock");
        using var daemon = DaemonProcess.StartOn(socket, _serve);
        var pids = new List<int>();
        _ = daemon.ReadStatus();
        var survivors = Enumerable.Range(0, Survivors).Select(i => ClientProcess.Start(socket, (options.Seed * 31) + i, "--tenant", $"survivor{i}", "--sequences", "24", "--device", options.Device)).ToList();
        try
        {
            survivors.ForEach(survivor => survivor.AwaitReady());
            pids.AddRange(survivors.Select(survivor => survivor.Pid));
            var before = daemon.ReadDescriptors();
            for (var killed = 0; killed < options.Clients; killed += AtATime)
            {
                pids.AddRange(KillSome(daemon, killed, Math.Min(AtATime, options.Clients - killed)));
                say?.Invoke($"killed {Math.Min(killed + AtATime, options.Clients)} of {options.Clients} clients");
            }

            var descriptors = DaemonRemains.Descriptors(daemon, before);
            var reports = survivors.ConvertAll(survivor => survivor.Stop());
            AwaitClients(daemon, 0);
            var status = daemon.ReadStatus();
            daemon.Stop();
            pids.Add(daemon.Pid);
            return Describe(status, reports, descriptors, pids);
        }
        finally
        {
            survivors.ForEach(survivor => survivor.Dispose());
        }
    }

    private KillReport Describe(DaemonStatus status, List<ClientReport> reports, string[] descriptors, List<int> pids) => new()
    {
        ElapsedS = 0,
        ClientsKilled = options.Clients,
        KilledIdle = _killed[(int)ChurnPhase.Idle],
        KilledBetweenBeginAndEnd = _killed[(int)ChurnPhase.BetweenBeginAndEnd],
        KilledInFlight = _killed[(int)ChurnPhase.InFlight],
        KilledRingHalfWritten = _killed[(int)ChurnPhase.RingHalfWritten],
        ReclaimedMsMost = Math.Round(_reclaimedMs, 1),
        DaemonsKilled = 0,
        NoticedMsMost = 0,
        SurvivorSteps = reports.Sum(report => report.Steps),
        SurvivorRefused = reports.Sum(report => report.Refused),
        Verified = reports.Sum(report => report.Verified),
        Mismatched = reports.Sum(report => report.Mismatched),
        SurvivorsIdentical = reports.Select((report, i) => ExpectedDigest((options.Seed * 31) + i, report.StepsOfLast) == report.Digest).All(same => same),
        EvictedBlocks = status.Totals.EvictedBlocks,
        ReloadedBlocks = status.Totals.ReloadedBlocks,
        LeakedBlocks = status.Totals.ResidentBlocks,
        LeakedSlots = status.Totals.ColdBlocks,
        LeakedDescriptors = descriptors,
        LeakedFiles = [],
        LeakedProcesses = pids.Count(HasProcess),
    };

    /// <summary>Starts clients, kills each in its phase, and waits until nothing of them is left.</summary>
    private List<int> KillSome(DaemonProcess daemon, int first, int count)
    {
        var victims = new List<(ClientProcess Process, PhaseFile Phases, string Path)>();
        for (var i = first; i < first + count; i++)
        {
            var path = Path.Combine(_folder, $"phase{i}");
            victims.Add((ClientProcess.Start(daemon.Socket, (options.Seed * 1000) + i, "--tenant", $"victim{i % 5}", "--phases", path, "--device", options.Device), new PhaseFile(path), path));
        }

        var pids = victims.ConvertAll(victim => victim.Process.Pid);
        for (var i = 0; i < victims.Count; i++)
        {
            var (process, phases, path) = victims[i];
            process.AwaitReady();
            AwaitInstant(process.Pid, phases, first + i);
            process.Kill();
            _killed[(int)phases.Phase]++;
            phases.Dispose();
            process.Dispose();
            File.Delete(path);
        }

        var since = Stopwatch.GetTimestamp();
        AwaitClients(daemon, Survivors);
        _reclaimedMs = Math.Max(_reclaimedMs, Stopwatch.GetElapsedTime(since).TotalMilliseconds);
        return pids;
    }

    private void AwaitInstant(int pid, PhaseFile phases, int victim)
    {
        if (victim < Phases || victim % 2 == 0)
        {
            StopIn((ChurnPhase)((int)ChurnPhase.Idle + ((victim < Phases ? victim : victim / 2) % Phases)), pid, phases);
        }
        else
        {
            Thread.Sleep(_random.Next(0, 40));
        }
    }

    /// <summary>Stops a process in a phase: a phase is short, and one that has only been seen may be over when the process is killed.</summary>
    private static void StopIn(ChurnPhase phase, int pid, PhaseFile phases)
    {
        for (var since = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(since) < _reclaimLimit; Signals.Send(pid, Signals.Continue))
        {
            while (phases.Phase != phase && Stopwatch.GetElapsedTime(since) < _reclaimLimit)
            {
                Thread.Yield();
            }

            Signals.Send(pid, Signals.Stop);
            while (!ProcessState.IsStopped(pid) && Stopwatch.GetElapsedTime(since) < _reclaimLimit)
            {
                Thread.Yield();
            }

            if (phases.Phase == phase)
            {
                return;
            }
        }

        throw new TimeoutException($"Client process {pid} was not {phase} within {_reclaimLimit.TotalSeconds} s.");
    }

    /// <summary>Kills daemons one after the other, each on the socket that the one before has left behind; two clients start over with each.</summary>
    private (double NoticedMs, List<ClientReport> Reports, List<int> Pids) KillDaemons()
    {
        var socket = Path.Combine(_folder, "daemons.sock");
        if (options.Daemons == 0)
        {
            return (0, [], []);
        }

        var daemon = DaemonProcess.StartOn(socket, _serve);
        var clients = Enumerable.Range(0, Survivors).Select(i => ClientProcess.Start(socket, (options.Seed * 77) + i, "--tenant", $"t{i}", "--reconnect", "--device", options.Device)).ToList();
        var pids = new List<int>(clients.Select(client => client.Pid));
        try
        {
            for (var killed = 0; killed < options.Daemons; killed++)
            {
                clients.ForEach(client => client.AwaitReady());
                Thread.Sleep(_random.Next(5, 60));
                pids.Add(daemon.Pid);
                daemon.Kill();
                daemon.Dispose();
                daemon = DaemonProcess.StartOn(socket, _serve);
                say?.Invoke($"killed {killed + 1} of {options.Daemons} daemons");
            }

            clients.ForEach(client => client.AwaitReady());
            var reports = clients.ConvertAll(client => client.Stop());
            foreach (var report in reports)
            {
                if (report.DaemonsLost != options.Daemons)
                {
                    throw new InvalidOperationException($"A client lost {report.DaemonsLost} daemons where {options.Daemons} were killed; the last time it was told: {report.LostMessage}");
                }
            }

            daemon.Stop();
            return (reports.Max(report => report.NoticedMs), reports, pids);
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
            pids.Add(daemon.Pid);
            daemon.Dispose();
        }
    }

    private static void AwaitClients(DaemonProcess daemon, int count)
    {
        var since = Stopwatch.GetTimestamp();
        while (daemon.ReadStatus().Clients.Length > count)
        {
            if (Stopwatch.GetElapsedTime(since) > _reclaimLimit)
            {
                throw new InvalidOperationException($"The daemon still has {daemon.ReadStatus().Clients.Length} clients, where {count} live, {_reclaimLimit.TotalSeconds} s after the others were killed.{daemon.Tail()}");
            }

            Thread.Sleep(5);
        }
    }

    /// <summary>What a client of that seed does in so many steps where nothing disturbs it: on a cache of its own that fits all.</summary>
    private static ulong ExpectedDigest(int seed, long steps)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        const long PoolBytes = 128L << 20;
        using var cache = KvCache.OpenEmbedded(device, new KvCacheOptions { PoolBytes = PoolBytes, ColdBytes = PoolBytes });
        using var client = new ChurnClient(cache, PoolBytes, seed, sequences: 24);
        while (client.Steps < steps)
        {
            client.Step();
        }

        client.Drain();
        return client.Tally.MismatchedGranules == 0 ? client.Digest : 0;
    }

    private static string[] SharedFiles() => Directory.Exists("/dev/shm") ? Directory.GetFileSystemEntries("/dev/shm") : [];

    private static bool HasProcess(int pid) => Directory.Exists($"/proc/{pid}");
}
