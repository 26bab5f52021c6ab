using System.Collections.Concurrent;
using System.Diagnostics;
using Kvcached.Protocol;

namespace Kvcached.Daemon.Processes;

/// <summary>A real daemon, <c>kvcached serve</c>, as a process of its own. It ends with the process that started it, however that ends.</summary>
internal sealed class DaemonProcess : IDisposable
{
    private static readonly TimeSpan _startTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan _stopTimeout = TimeSpan.FromSeconds(30);

    private readonly Process _process;
    private readonly SocketFolder? _folder;
    private readonly ConcurrentQueue<string> _log = new();

    private DaemonProcess(Process process, string socket, SocketFolder? folder)
    {
        (_process, Socket, _folder) = (process, socket, folder);
        process.OutputDataReceived += (_, line) => Note(line.Data);
        process.ErrorDataReceived += (_, line) => Note(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public string Socket { get; }

    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it has logged.</summary>
    public IReadOnlyCollection<string> Log => _log;

    /// <summary>Starts a daemon on a socket of its own, in a folder that goes with it, and waits until it answers.</summary>
    /// <exception cref="DaemonFailedException">It does not.</exception>
    public static DaemonProcess Start(params IEnumerable<string> arguments)
    {
        var folder = new SocketFolder();
        try
        {
            return Launch(folder.Socket, folder, arguments);
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>Starts a daemon on somebody's socket and waits until it answers.</summary>
    /// <exception cref="DaemonFailedException">It does not.</exception>
    public static DaemonProcess StartOn(string socket, params IEnumerable<string> arguments) => Launch(socket, folder: null, arguments);

    /// <summary>What the daemon holds.</summary>
    public DaemonStatus ReadStatus()
    {
        using var control = AdminConnection.Open(Socket);
        return control.Ask<StatusMessage>(new GetStatusMessage()).Status;
    }

    /// <summary>What the descriptors that the process has open are of.</summary>
    public List<string> ReadDescriptors() => [.. Directory.GetFiles($"/proc/{Pid}/fd").Select(path => new FileInfo(path).LinkTarget ?? string.Empty)];

    /// <summary>SIGKILL; returns once the process is gone.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
    }

    /// <summary>SIGTERM; returns its exit status.</summary>
    /// <exception cref="DaemonFailedException">It does not end.</exception>
    public int Stop()
    {
        Signals.Send(_process.Id, Signals.Terminate);
        if (!_process.WaitForExit(_stopTimeout))
        {
            throw new DaemonFailedException($"The daemon has not stopped within {_stopTimeout.TotalSeconds} s of SIGTERM.{Tail()}");
        }

        return _process.ExitCode;
    }

    /// <summary>Kills it, if it still runs.</summary>
    public void Dispose()
    {
        Kill();
        _process.Dispose();
        _folder?.Dispose();
    }

    /// <summary>The end of its log, for messages.</summary>
    public string Tail()
    {
        if (_process.HasExited)
        {
            // Until what it wrote last has been read.
            _process.WaitForExit();
        }

        return string.Concat(_log.TakeLast(10).Select(line => $"\n    {line}"));
    }

    private static DaemonProcess Launch(string socket, SocketFolder? folder, IEnumerable<string> arguments)
    {
        var daemon = new DaemonProcess(OwnProcess.Start(typeof(DaemonProcess).Assembly, ["serve", "--until-input-ends", "--socket", socket, .. arguments]), socket, folder);
        try
        {
            daemon.AwaitAnswer();
            return daemon;
        }
        catch
        {
            daemon.Dispose();
            throw;
        }
    }

    private void AwaitAnswer()
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                AdminConnection.Open(Socket).Dispose();
                return;
            }
            catch (KvException error) when (error.Error == KvError.DaemonLost)
            {
                if (_process.HasExited || Stopwatch.GetElapsedTime(started) > _startTimeout)
                {
                    throw new DaemonFailedException($"The daemon does not answer on {Socket}.{Tail()}");
                }

                Thread.Sleep(20);
            }
        }
    }

    private void Note(string? line)
    {
        if (line is not null)
        {
            _log.Enqueue(line);
        }
    }
}

/// <summary>A daemon process does not do what it should.</summary>
internal sealed class DaemonFailedException(string message) : Exception(message);
