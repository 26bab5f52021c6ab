using System.CommandLine;
using System.CommandLine.Help;
using Kvcached.Daemon;
using Kvcached.Daemon.Admin;
using Kvcached.Daemon.Demo;
using Kvcached.Daemon.Demo.Served;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Replay;
using Kvcached.Daemon.Serve;

const int usageError = 2;

// No RootCommand, which names itself after the assembly.
var root = new Command("kvcached", "A user-mode, indirection-table KV-cache memory manager for LLM inference.")
{
    ServeCommand.Create(),
    DemoCommand.Create(),
    ModelCommand.Create(),
    DevicesCommand.Create(),
    ReplayCommand.Create(),
    ReplayClientCommand.Create(),
    new HelpOption(),
    new VersionOption(),
};
foreach (var command in AdminCommands.Create())
{
    root.Add(command);
}

var parse = root.Parse(args);
if (parse.Errors.Count > 0)
{
    foreach (var error in parse.Errors)
    {
        Console.Error.WriteLine(Printable.Escape($"kvcached: {error.Message}"));
    }

    if (parse.CommandResult.Command == root)
    {
        Console.Error.WriteLine($"Commands: {string.Join(", ", root.Subcommands.Where(command => !command.Hidden).Select(command => command.Name))}. What each does: kvcached --help");
    }

    return usageError;
}

try
{
    return await parse.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (UsageException error)
{
    Console.Error.WriteLine($"kvcached: {error.Message}");
    return usageError;
}
