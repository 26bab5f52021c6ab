using System.Diagnostics;
using System.Text.Json;
using Kvcached.Daemon.Processes;

namespace Kvcached.Bench.Processes;

/// <summary>A client as a process of its own (<see cref="ClientCommand"/>).</summary>
internal sealed class ClientProcess : IDisposable
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(90);

    private readonly Process _process;
    private readonly Task<string> _errors;

    private ClientProcess(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
    }

    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    public static ClientProcess Start(string socket, int seed, params IEnumerable<string> arguments) =>
        new(OwnProcess.Start(typeof(ClientProcess).Assembly, ["client", "--socket", socket, "--seed", $"{seed}", .. arguments]));

    /// <summary>Waits until it has attached.</summary>
    public void AwaitReady()
    {
        if (Read() != "ready")
        {
            throw Failed("has not attached");
        }
    }

    /// <summary>SIGKILL; returns once it is gone.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
    }

    /// <summary>Has it end, and returns what it has found.</summary>
    public ClientReport Stop()
    {
        try
        {
            _process.StandardInput.WriteLine("stop");
        }
        catch (IOException)
        {
            // It is gone already: what it wrote tells why.
        }

        string? line;
        while ((line = Read()) == "ready")
        {
        }

        if (line is null || !_process.WaitForExit(_timeout))
        {
            throw Failed("has not ended as it should");
        }

        return JsonSerializer.Deserialize<ClientReport>(line)!;
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    private string? Read()
    {
        var read = _process.StandardOutput.ReadLineAsync();
        return read.Wait(_timeout) ? read.Result : throw Failed($"says nothing for {_timeout.TotalSeconds} s");
    }

    private InvalidOperationException Failed(string how)
    {
        Kill();
        return new InvalidOperationException($"Client process {Pid} {how}: {_errors.Result}");
    }
}
