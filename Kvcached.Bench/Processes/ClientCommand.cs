using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Kvcached.Daemon.Hardware;
using Kvcached.Devices.Host;
using Kvcached.Kernels;
using Kvcached.Protocol;

namespace Kvcached.Bench.Processes;

/// <summary>
/// <c>client</c>: a client process, which other commands start. It attaches, says <c>ready</c>, churns until its standard input says <c>stop</c> or ends, and
/// writes what it has found as one JSON object. With a phase file it keeps its phase there, and dwells in each.
/// </summary>
internal static class ClientCommand
{
    private static readonly Option<string> Socket = new("--socket") { Required = true };
    private static readonly Option<string> Tenant = new("--tenant") { DefaultValueFactory = _ => "default" };
    private static readonly Option<int> Seed = new("--seed");
    private static readonly Option<int> Sequences = new("--sequences") { DefaultValueFactory = _ => 12 };
    private static readonly Option<string?> Phases = new("--phases");
    private static readonly Option<int> Pause = new("--pause") { Description = "Milliseconds between steps, where others want the processor too." };
    private static readonly Option<DeviceName> Device = DeviceName.Option("The daemon's.");
    private static readonly Option<bool> Reconnect = new("--reconnect") { Description = "Where the daemon is lost, connect to the next one and start over." };

    public static Command Create()
    {
        var command = new Command("client", "A client process of fuzz, kill and stress.") { Socket, Tenant, Seed, Sequences, Phases, Pause, Device, Reconnect };
        command.Hidden = true;
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parse)
    {
        using var phases = parse.GetValue(Phases) is { } path ? new PhaseFile(path) : null;
        using var device = parse.GetValue(Device).Open(new DeviceKernels([HoldKernel.Kernel], []), workers: 1);
        using var stop = new StopLine();
        var report = new ClientReport();
        do
        {
            try
            {
                using var cache = Connect(device, parse, stop);
                if (cache is null)
                {
                    break;
                }

                Churn(cache, parse, phases, stop, report);
            }
            catch (KvException error) when (error.Error == KvError.DaemonLost && parse.GetValue(Reconnect) && report.Notice())
            {
                report.DaemonsLost++;
                report.LostMessage = error.Message;
            }
        }
        while (parse.GetValue(Reconnect) && !stop.IsAsked);

        Console.Out.WriteLine(JsonSerializer.Serialize(report));
        return report.Mismatched == 0 ? 0 : 1;
    }

    private static KvCache? Connect(MappedDevice device, ParseResult parse, StopLine stop)
    {
        while (true)
        {
            try
            {
                return KvCache.ConnectAsync(device, parse.GetValue(Socket)!, new KvConnectOptions { Tenant = parse.GetValue(Tenant)!, Name = $"churn {parse.GetValue(Seed)}" }).GetAwaiter().GetResult();
            }
            catch (KvException error) when (error.Error == KvError.DaemonLost && parse.GetValue(Reconnect))
            {
                if (stop.IsAsked)
                {
                    return null;
                }

                Thread.Sleep(20);
            }
        }
    }

    private static void Churn(KvCache cache, ParseResult parse, PhaseFile? phases, StopLine stop, ClientReport report)
    {
        using var client = new ChurnClient(cache, ((RemoteCache)cache).Link.Pool.Bytes, parse.GetValue(Seed), parse.GetValue(Sequences));
        var dwell = new Random(parse.GetValue(Seed));
        if (phases is not null)
        {
            client.Hold = parse.GetValue(Device) == DeviceName.Cpu ? cache.Device.LoadKernel(HoldKernel.Name) : null;
            client.Phase = phase => Dwell(phases, phase, dwell);
        }

        report.Attached++;
        Console.Out.WriteLine("ready");
        try
        {
            while (!stop.IsAsked)
            {
                client.Step();
                report.Answered();
                if (client.Tally.MismatchedGranules > 0)
                {
                    // Said at once: whoever is killed later could not say it any more.
                    throw new InvalidOperationException($"Mismatch: {client.Tally.MismatchedGranules} granules, first at sequence {client.Tally.FirstSequence}, position {client.Tally.FirstPosition}, byte {client.Tally.FirstPoolOffset} of the pool.");
                }

                if (parse.GetValue(Pause) is > 0 and var pause)
                {
                    Thread.Sleep(pause);
                }

                if (phases is not null)
                {
                    client.Drain();
                    Dwell(phases, ChurnPhase.Idle, dwell);
                    HalfWrite((RemoteCache)cache, phases, dwell);
                }
            }

            client.Drain();
            client.FreeAll();
            report.Digest = client.Digest;
            report.StepsOfLast = client.Steps;
        }
        finally
        {
            report.Add(client);
        }
    }

    /// <summary>Begins a record and leaves it for a while: what was reserved and not published is forgotten with the next.</summary>
    private static void HalfWrite(RemoteCache cache, PhaseFile phases, Random random)
    {
        if (cache.Link.TryReserve(SubmissionKind.Truncate, SequenceRecord.Bytes, out var body))
        {
            body[..(SequenceRecord.Bytes / 2)].Fill(0xFF);
            Dwell(phases, ChurnPhase.RingHalfWritten, random);
        }
    }

    private static void Dwell(PhaseFile phases, ChurnPhase phase, Random random)
    {
        phases.Phase = phase;
        Thread.Sleep(random.Next(1, 4));
    }
}

/// <summary>What a client process has found.</summary>
internal sealed class ClientReport
{
    private long _answeredAt = Stopwatch.GetTimestamp();

    public int Attached { get; set; }

    public long Steps { get; set; }

    public long Refused { get; set; }

    public long Verified { get; set; }

    public long Mismatched { get; set; }

    /// <summary>Of the last connection: its steps, and the hash of what they did.</summary>
    public long StepsOfLast { get; set; }

    public ulong Digest { get; set; }

    public int DaemonsLost { get; set; }

    public string? LostMessage { get; set; }

    /// <summary>The longest from a step that worked to the error that said that the daemon is lost.</summary>
    public double NoticedMs { get; set; }

    public void Answered() => _answeredAt = Stopwatch.GetTimestamp();

    /// <summary>Notes that the daemon is found gone. In an exception filter: what the client has is disposed after it, and a queue of a GPU waits for its stream then, for two seconds at most.</summary>
    /// <returns>True.</returns>
    public bool Notice()
    {
        NoticedMs = Math.Max(NoticedMs, Stopwatch.GetElapsedTime(_answeredAt).TotalMilliseconds);
        return true;
    }

    public void Add(ChurnClient client)
    {
        Steps += client.Steps;
        Refused += client.Refused;
        Verified += client.Tally.VerifiedGranules;
        Mismatched += client.Tally.MismatchedGranules;
    }
}

/// <summary>Standard input, watched for the line that ends the program.</summary>
internal sealed class StopLine : IDisposable
{
    private volatile bool _isAsked;

    public StopLine() => new Thread(Watch) { IsBackground = true, Name = "standard input" }.Start();

    /// <summary>Whether the program is to end: it was told so, or who started it is gone.</summary>
    public bool IsAsked => _isAsked;

    public void Dispose() => _isAsked = true;

    private void Watch()
    {
        while (Console.In.ReadLine() is { } line && line != "stop")
        {
        }

        _isAsked = true;
    }
}

/// <summary><c>hold</c>: takes two milliseconds, so that a step can be met in flight.</summary>
internal static unsafe class HoldKernel
{
    public const string Name = "hold";

    public static CpuKernel Kernel => new(Name, &Items, &Run);

    private static int Items(void* arguments) => 1;

    private static void Run(void* arguments, int item, int worker) => Thread.Sleep(2);
}
