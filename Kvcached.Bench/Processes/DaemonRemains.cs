using System.Diagnostics;
using Kvcached.Daemon.Processes;

namespace Kvcached.Bench.Processes;

/// <summary>What clients have left behind in a daemon.</summary>
internal static class DaemonRemains
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(2);

    /// <summary>Descriptors that were not there before, once a connection that is just being closed has had time for it.</summary>
    public static string[] Descriptors(DaemonProcess daemon, List<string> before)
    {
        before = before.FindAll(descriptor => !descriptor.EndsWith(".dll", StringComparison.Ordinal));
        var since = Stopwatch.GetTimestamp();
        while (true)
        {
            // Assemblies are loaded when they are first needed.
            var more = daemon.ReadDescriptors().FindAll(descriptor => !descriptor.EndsWith(".dll", StringComparison.Ordinal));
            if (more.Count <= before.Count || Stopwatch.GetElapsedTime(since) > _limit)
            {
                return more.Count <= before.Count ? [] : [.. more.Except(before).Take(more.Count - before.Count)];
            }

            Thread.Sleep(20);
        }
    }
}
