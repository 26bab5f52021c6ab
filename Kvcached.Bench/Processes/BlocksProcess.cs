using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Processes;

/// <summary>A client process that allocates and frees blocks, as many steps as it is told: a line each way.</summary>
internal sealed class BlocksProcess : IDisposable
{
    private const string CommandName = "blocks-client";
    private const int Sequences = 4;
    private const int BlocksEach = 16;

    private readonly Process _process;

    public BlocksProcess(string socket)
    {
        _process = OwnProcess.Start(typeof(BlocksProcess).Assembly, CommandName, socket);
        Start(1);
        Finish();
    }

    public static Command CreateCommand()
    {
        var socket = new Argument<string>("socket");
        var command = new Command(CommandName, "A client process of client_scaling.") { socket };
        command.Hidden = true;
        command.SetAction(parse => Run(parse.GetValue(socket)!));
        return command;
    }

    /// <summary>Has it begin so many steps.</summary>
    public void Start(int steps) => _process.StandardInput.WriteLine(steps.ToString(CultureInfo.InvariantCulture));

    /// <summary>Waits until it has done; the blocks.</summary>
    public long Finish() => long.TryParse(_process.StandardOutput.ReadLine(), CultureInfo.InvariantCulture, out var blocks)
        ? blocks
        : throw new InvalidOperationException($"A client process has ended: {_process.StandardError.ReadToEnd()}");

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(10)))
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private static void Run(string socket)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        using var client = new NoopClient(KvCache.ConnectAsync(device, socket).GetAwaiter().GetResult(), Sequences);
        while (Console.In.ReadLine() is { } line)
        {
            var blocks = 0L;
            for (var step = int.Parse(line, CultureInfo.InvariantCulture); step > 0; step--)
            {
                blocks += client.AllocateAndFree(BlocksEach);
            }

            client.Drain();
            Console.Out.WriteLine(blocks.ToString(CultureInfo.InvariantCulture));
        }
    }
}
