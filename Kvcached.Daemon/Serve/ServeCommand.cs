using System.CommandLine;
using Kvcached.Daemon.Hardware;
using Kvcached.Devices;
using Kvcached.Devices.OpenCl;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Command = System.CommandLine.Command;

namespace Kvcached.Daemon.Serve;

/// <summary><c>kvcached serve</c>: the daemon, on the generic host. A setting is taken from the flags, else from <c>KVCACHED_*</c>, else from the file.</summary>
internal static class ServeCommand
{
    private const int Failed = 1;

    private static readonly Option<string?> Config = new("--config") { Description = "Read settings from this JSON file.", HelpName = "file" };

    private static readonly Option<bool> JsonLog = new("--log-json") { Description = "Write log lines as JSON objects." };

    private static readonly Option<bool> UntilInputEnds = new("--until-input-ends") { Description = "Stop when standard input ends: the daemon does not outlive the program that started it.", Hidden = true };

    public static Command Create()
    {
        var command = new Command("serve", "Owns a pool of device memory and serves it to the processes that connect, until it is told to stop (SIGTERM, SIGINT).") { Config, JsonLog, UntilInputEnds };
        foreach (var setting in ServeSetting.All)
        {
            command.Add(setting.Flag);
        }

        command.SetAction((parse, cancellation) => RunAsync(parse, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parse, CancellationToken cancellation)
    {
        var settings = new ServeSettings(setting => parse.GetValue(setting.Flag), Environment.GetEnvironmentVariables(), parse.GetValue(Config));
        var device = settings.ReadDevice();
        var options = settings.ToServerOptions();
        var builder = Host.CreateEmptyApplicationBuilder(null);

        // What keeps the host from starting is said once, in a line of its own.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        if (parse.GetValue(JsonLog))
        {
            builder.Logging.AddJsonConsole(console => console.UseUtcTimestamp = true);
        }
        else
        {
            builder.Logging.AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.UseUtcTimestamp = true;
                console.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            });
        }

        // The engine's thread logs: it must not wait for who reads the log.
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite);
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(new ServedDevice(device));
        var outcome = new ServeOutcome();
        builder.Services.AddSingleton(outcome);
        builder.Services.AddSingleton<SystemdNotifier>();
        builder.Services.AddHostedService<DaemonService>();
        using var host = builder.Build();
        if (parse.GetValue(UntilInputEnds))
        {
            StopWithInput(host.Services.GetRequiredService<IHostApplicationLifetime>());
        }

        try
        {
            await host.RunAsync(cancellation).ConfigureAwait(false);
            return outcome.HasFailed ? Failed : 0;
        }
        catch (Exception error) when (error is KvException or DeviceUnavailableException or DeviceCallException or OpenClBuildException or OutOfDeviceMemoryException)
        {
            Console.Error.WriteLine(Printable.Escape($"kvcached: serve: {error.Message}"));
            return Failed;
        }
    }

    private static void StopWithInput(IHostApplicationLifetime lifetime)
    {
        new Thread(Watch) { IsBackground = true, Name = "standard input" }.Start();

        void Watch()
        {
            while (Console.In.ReadLine() is not null)
            {
            }

            lifetime.StopApplication();
        }
    }
}

/// <summary>The device whose memory the daemon serves.</summary>
internal sealed record ServedDevice(DeviceName Name);

/// <summary>How the daemon has ended.</summary>
internal sealed class ServeOutcome
{
    /// <summary>Whether it ended because it had to.</summary>
    public bool HasFailed { get; set; }
}
