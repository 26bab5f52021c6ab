using Kvcached.Protocol;

namespace Kvcached.Daemon.Processes;

/// <summary>A connection to a daemon for who wants no memory of it: to ask what it holds, to change limits.</summary>
internal static class AdminConnection
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(10);

    /// <summary>Connects.</summary>
    /// <exception cref="KvException">Nobody answers.</exception>
    public static ControlClient Open(string socket)
    {
        var control = ControlClient.ConnectAsync(socket, _timeout, CancellationToken.None).GetAwaiter().GetResult();
        try
        {
            control.Ask<OkMessage>(new HelloMessage { Version = ControlFrame.Version, Attach = false });
            return control;
        }
        catch
        {
            control.Dispose();
            throw;
        }
    }
}
