using System.CommandLine;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;

namespace Kvcached.Daemon.Replay;

/// <summary><c>replay-client</c>: a client process, which <c>replay --processes</c> starts. Told its task in a line, it replays its part on the daemon's pool.</summary>
internal static class ReplayClientCommand
{
    public const string Name = "replay-client";

    public static System.CommandLine.Command Create()
    {
        var command = new System.CommandLine.Command(Name, "A client process of replay --processes.") { Hidden = true };
        command.SetAction(_ => Run());
        return command;
    }

    private static int Run()
    {
        try
        {
            var task = ReplayTask.Parse(new StarterLines().Read());
            var plan = ReplayPlan.CreatePart(task.Options, ReplayCommand.ReadRequests(task.Options), task.Part);
            using var device = DeviceName.Parse(task.Options.Device)!.Value.Open(DeviceKernels.None, Math.Max(1, Environment.ProcessorCount / task.Options.Processes));
            var name = $"replay-{task.Part + 1}";
            var cache = KvCache.ConnectAsync(device, task.Socket, new KvConnectOptions { Tenant = name, Name = name }).GetAwaiter().GetResult();
            using var run = new ReplayRun(cache, plan, task.Options);
            var report = run.Run(tokens => Say(new ReplayMessage { Tokens = tokens }));
            Say(new ReplayMessage
            {
                Tokens = report.Tokens,
                Report = report,
                Unverified = report.Unverified,
                FirstMismatch = report.FirstMismatch is { } first ? $"{name}: {first}" : null,
                Latencies = run.Latencies.Buckets,
            });
            return 0;
        }
        catch (Exception error) when (error is TraceException or KvException or OutOfDeviceMemoryException or ReplayStalledException or DeviceLostException or DeviceCallException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }

    private static void Say(ReplayMessage message) => Console.Out.WriteLine(message.ToJson());
}
