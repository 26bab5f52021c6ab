using Kvcached.Daemon.Hardware;
using Kvcached.Devices.Host;
using Kvcached.Server;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Kvcached.Daemon.Serve;

/// <summary>
/// The daemon as a service of the host. The pool is made and the socket bound in <see cref="StartAsync"/>, so that the host does not start where that fails.
/// </summary>
internal sealed partial class DaemonService(ServerOptions options, ServedDevice device, ServeOutcome outcome, SystemdNotifier systemd, IHostApplicationLifetime lifetime, ILogger<DaemonService> log) : IHostedService, IDisposable
{
    private MappedDevice? _device;
    private CacheServer? _server;
    private ControlListener? _listener;
    private Task? _accepting;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _device = device.Name.Open(DeviceKernels.None, workers: 1);
        _server = new CacheServer(_device, options);
        _server.Connected += client =>
        {
            var (name, tenant) = Shown(client);
            ClientConnected(client.Number, name, tenant, client.Pid);
        };
        _server.Condemned += (client, reason) =>
        {
            var (name, tenant) = Shown(client);
            var shown = Printable.Escape(reason);
            ClientCondemned(client.Number, name, tenant, client.Pid, shown);
        };
        _server.Reclaimed += client =>
        {
            var (name, tenant) = Shown(client);
            ClientReclaimed(client.Number, name, tenant, client.Pid);
        };
        _server.Failed += error =>
        {
            outcome.HasFailed = true;
            EngineFailed(error);
            lifetime.StopApplication();
        };
        _listener = new ControlListener(_server, options);
        _listener.Refused += (pid, reason) =>
        {
            var shown = Printable.Escape(reason);
            ConnectionRefused(pid, shown);
        };
        _accepting = _listener.RunAsync();
        Listening(options.Socket, options.PoolBytes, options.ColdBytes, _device.Name);
        systemd.Ready();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        systemd.Stopping();
        if (_server is { } server && !outcome.HasFailed)
        {
            await server.PostAsync(() => server.CondemnAll("the daemon is stopping")).ConfigureAwait(false);
        }

        _listener?.Dispose();
        if (_accepting is not null)
        {
            await _accepting.ConfigureAwait(false);
        }

        Stopped();
    }

    public void Dispose()
    {
        _listener?.Dispose();
        _server?.Dispose();
        _device?.Dispose();
    }

    /// <summary>Names are chosen by clients.</summary>
    private static (string Name, string Tenant) Shown(ClientIdentity client) => (Printable.Escape(client.Name), Printable.Escape(client.Tenant));

    [LoggerMessage(EventId = 1, Level = LogLevel.Information, Message = "Listening on {Socket}: pool of {PoolBytes} bytes, cold memory of {ColdBytes} bytes, device {Device}")]
    private partial void Listening(string socket, long poolBytes, long coldBytes, string device);

    [LoggerMessage(EventId = 2, Level = LogLevel.Information, Message = "Client {Client} ({Name}, tenant {Tenant}, process {Pid}) connected")]
    private partial void ClientConnected(int client, string name, string tenant, int pid);

    [LoggerMessage(EventId = 3, Level = LogLevel.Information, Message = "Client {Client} ({Name}, tenant {Tenant}, process {Pid}) is served no more: {Reason}")]
    private partial void ClientCondemned(int client, string name, string tenant, int pid, string reason);

    [LoggerMessage(EventId = 4, Level = LogLevel.Information, Message = "Client {Client} ({Name}, tenant {Tenant}, process {Pid}) is reclaimed: nothing of it is left")]
    private partial void ClientReclaimed(int client, string name, string tenant, int pid);

    [LoggerMessage(EventId = 5, Level = LogLevel.Warning, Message = "A connection of process {Pid} was refused: {Reason}")]
    private partial void ConnectionRefused(int pid, string reason);

    [LoggerMessage(EventId = 6, Level = LogLevel.Information, Message = "Stopped")]
    private partial void Stopped();

    [LoggerMessage(EventId = 7, Level = LogLevel.Critical, Message = "The engine has failed")]
    private partial void EngineFailed(Exception error);
}
