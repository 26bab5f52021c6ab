using System.CommandLine;
using Kvcached.Server;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Kvcached.Daemon.Serve;

/// <summary><c>kvcached serve</c>: the daemon, on the generic host. A setting is taken from the flags, else from <c>KVCACHED_*</c>, else from the file.</summary>
internal static class ServeCommand
{
    private const int Failed = 1;
    private const int Usage = 2;

    private static readonly Option<FileInfo?> Config = new("--config") { Description = "Read settings from this JSON file.", HelpName = "file" };

    private static readonly Option<bool> JsonLog = new("--log-json") { Description = "Write log lines as JSON objects." };

    private static readonly Option<bool> UntilInputEnds = new("--until-input-ends") { Description = "Stop when standard input ends: the daemon does not outlive the program that started it.", Hidden = true };

    private static readonly (Option<string?> Flag, string Setting)[] Flags =
    [
        (Setting("--socket", "path", "Path of the Unix socket (default: kvcached.sock in $XDG_RUNTIME_DIR, or in the folder for temporary files)."), nameof(ServeSettings.Socket)),
        (Setting("--pool", "size", "Device memory for blocks: a size, or FLOOR..CEILING (default 1GiB)."), nameof(ServeSettings.Pool)),
        (Setting("--cold", "size", "Host memory for cold copies (default 4GiB)."), nameof(ServeSettings.Cold)),
        (Setting("--table", "size", "Device memory for block tables (default 4MiB)."), nameof(ServeSettings.Table)),
        (Setting("--device", "name", "The device: cpu."), nameof(ServeSettings.Device)),
        (Setting("--lease", "seconds", "How long a client may hold a step (default 60)."), nameof(ServeSettings.Lease)),
        (Setting("--on-lease", "action", "What becomes of a client past its lease: kill (default) or quarantine."), nameof(ServeSettings.OnLease)),
        (Setting("--max-pinned", "fraction", "What one client has under way may keep so much of the pool from others (default 0.75)."), nameof(ServeSettings.MaxPinned)),
        (Setting("--max-clients", "count", "Clients at a time (default 64)."), nameof(ServeSettings.MaxClients)),
    ];

    public static Command Create()
    {
        var command = new Command("serve", "Owns a pool of device memory and serves it to the processes that connect, until it is told to stop (SIGTERM, SIGINT).") { Config, JsonLog, UntilInputEnds };
        foreach (var (flag, _) in Flags)
        {
            command.Add(flag);
        }

        command.SetAction((parse, cancellation) => RunAsync(parse, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parse, CancellationToken cancellation)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        Configure(builder.Configuration, parse);
        builder.Logging.AddConfiguration(builder.Configuration.GetSection("Logging"));

        // What keeps the host from starting is said once, in a line of its own.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        if (parse.GetValue(JsonLog))
        {
            builder.Logging.AddJsonConsole(options => options.UseUtcTimestamp = true);
        }
        else
        {
            builder.Logging.AddSimpleConsole(options =>
            {
                options.SingleLine = true;
                options.UseUtcTimestamp = true;
                options.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";
            });
        }

        // The engine's thread logs: it must not wait for who reads the log.
        builder.Services.Configure<ConsoleLoggerOptions>(options => options.QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite);
        builder.Services.AddOptions<ServeSettings>().Bind(builder.Configuration).ValidateOnStart();
        builder.Services.AddSingleton<IValidateOptions<ServeSettings>, ServeSettingsValidator>();
        builder.Services.AddSingleton(services => services.GetRequiredService<IOptions<ServeSettings>>().Value.ToServerOptions());
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
        catch (OptionsValidationException error)
        {
            Console.Error.WriteLine($"kvcached: serve: {error.Message}");
            return Usage;
        }
        catch (KvException error)
        {
            Console.Error.WriteLine($"kvcached: serve: {error.Message}");
            return Failed;
        }
        catch (Devices.OutOfDeviceMemoryException error)
        {
            Console.Error.WriteLine($"kvcached: serve: {error.Message}");
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

    private static void Configure(ConfigurationManager configuration, ParseResult parse)
    {
        if (parse.GetValue(Config) is { } file)
        {
            if (!file.Exists)
            {
                throw new UsageException($"--config: there is no file {file.FullName}.");
            }

            try
            {
                configuration.AddJsonFile(file.FullName, optional: false);
            }
            catch (InvalidDataException error)
            {
                throw new UsageException($"--config: {error.InnerException?.Message ?? error.Message}", error);
            }
        }

        configuration.AddEnvironmentVariables("KVCACHED_");
        configuration.AddInMemoryCollection(Flags
            .Select(flag => KeyValuePair.Create(flag.Setting, parse.GetValue(flag.Flag)))
            .Where(pair => pair.Value is not null));
    }

    private static Option<string?> Setting(string name, string help, string description) => new(name) { Description = description, HelpName = help };
}

/// <summary>How the daemon has ended.</summary>
internal sealed class ServeOutcome
{
    /// <summary>Whether it ended because it had to.</summary>
    public bool HasFailed { get; set; }
}

/// <summary>Checks all settings as the server will have them.</summary>
internal sealed class ServeSettingsValidator : IValidateOptions<ServeSettings>
{
    public ValidateOptionsResult Validate(string? name, ServeSettings options)
    {
        try
        {
            options.ToServerOptions();
            return ValidateOptionsResult.Success;
        }
        catch (Exception error) when (error is UsageException or KvException)
        {
            return ValidateOptionsResult.Fail(error.Message);
        }
    }
}
