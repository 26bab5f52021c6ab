using System.CommandLine;

namespace Kvcached.Daemon.Demo;

/// <summary><c>kvcached demo</c>: a transformer decodes on a pool a third of what its KV cache needs.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var command = new Command("demo", "Decodes with a transformer on a pool a third of what its KV cache needs, and compares every token with runs that never evict.");
        command.SetAction(int (_) => throw new UsageException("demo: not available yet."));
        return command;
    }
}
