using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Server;

namespace Kvcached.Tests.Client;

/// <summary>A daemon inside the test's process: a device, a thread and a socket of its own.</summary>
internal sealed class TestDaemon : IDisposable
{
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1 });
    private readonly ServerOptions _options;
    private readonly ControlListener _listener;
    private readonly Task _accepting;

    public TestDaemon(ServerOptions options, Func<CpuDevice, ISharingDevice>? decorate = null)
    {
        _options = options;
        Server = new CacheServer(decorate?.Invoke(_device) ?? _device, options);
        Server.Failed += error => Failure = error;
        try
        {
            _listener = new ControlListener(Server, options);
        }
        catch
        {
            Server.Dispose();
            _device.Dispose();
            throw;
        }

        _accepting = _listener.RunAsync();
    }

    public CacheServer Server { get; }

    /// <summary>Why the server's thread ended, if it did by itself.</summary>
    public Exception? Failure { get; private set; }

    public KvCache Connect(CpuDevice device, KvConnectOptions? options = null) => KvCache.ConnectAsync(device, _options.Socket, options).GetAwaiter().GetResult();

    public void Dispose()
    {
        _listener.Dispose();
        _accepting.GetAwaiter().GetResult();
        Server.Dispose();
        _device.Dispose();
        if (Failure is not null)
        {
            throw new InvalidOperationException("The server's thread has failed.", Failure);
        }
    }
}
