using Kvcached.Devices.Linux;

namespace Kvcached.Daemon.Processes;

/// <summary>Signals to processes that this one has started.</summary>
internal static class Signals
{
    public const int Terminate = 15;
    public const int Stop = 19;
    public const int Continue = 18;

    public static void Send(int pid, int signal)
    {
        using var process = PidFd.TryOpen(pid);
        process?.Send(signal);
    }
}
