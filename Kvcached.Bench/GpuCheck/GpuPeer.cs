using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.Linux;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Bench.GpuCheck;

/// <summary>What the words lie in that two processes share.</summary>
internal enum WordsIn
{
    /// <summary>A memfd that each has registered.</summary>
    Memfd,

    /// <summary>The same, and the peer may only read it: its answers go to a second one.</summary>
    ReadOnlyMemfd,

    /// <summary>Memory of the GPU, exported and imported.</summary>
    Vmm,
}

/// <summary>
/// A second process with a context of the same GPU, which is handed memory and answers words in it by stream: waits until the first is n, writes n into the second. Owns the process.
/// </summary>
internal sealed class GpuPeer : IDisposable
{
    /// <summary>Place of the word that the peer waits for, and of the one that it writes.</summary>
    public const int RequestAt = 0;
    public const int ReplyAt = 64;
    private const string CommandName = "gpu-peer";
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private readonly Process _process;

    /// <summary>Starts it; returns once its stream has been given all its waits and writes.</summary>
    /// <param name="ordinal">The GPU.</param>
    /// <param name="words">What the words lie in.</param>
    /// <param name="rounds">How many to answer.</param>
    /// <param name="descriptors">Of the memory; of a second one that the answers go to, where the first may only be read.</param>
    /// <exception cref="InvalidOperationException">It has failed; the message is its own.</exception>
    public GpuPeer(int ordinal, WordsIn words, int rounds, params SafeFileHandle[] descriptors)
    {
        using var folder = new SocketFolder();
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(folder.Socket));
        listener.Listen();
        _process = OwnProcess.Start(typeof(GpuPeer).Assembly, CommandName, folder.Socket, Text(ordinal), words.ToString(), Text(rounds));
        if (!listener.Poll(_patience, SelectMode.SelectRead))
        {
            throw Failure();
        }

        using var socket = listener.Accept();
        DescriptorSocket.Send(socket, [(byte)descriptors.Length], descriptors);
        if (_process.StandardOutput.ReadLine() != "ready")
        {
            throw Failure();
        }
    }

    public static Command CreateCommand()
    {
        var socket = new Argument<string>("socket");
        var ordinal = new Argument<int>("ordinal");
        var words = new Argument<WordsIn>("words");
        var rounds = new Argument<int>("rounds");
        var command = new Command(CommandName, "The other process of questions about two.") { socket, ordinal, words, rounds };
        command.Hidden = true;
        command.SetAction(parse => Answer(parse.GetValue(socket)!, parse.GetValue(ordinal), parse.GetValue(words), parse.GetValue(rounds)));
        return command;
    }

    /// <summary>SIGKILL; returns once the process is gone.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            Kill();
        }

        _process.Dispose();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static int Answer(string path, int ordinal, WordsIn words, int rounds)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        var descriptors = new SafeFileHandle?[2];
        if (!socket.Poll(_patience, SelectMode.SelectRead) || DescriptorSocket.Receive(socket, new byte[1], descriptors).Descriptors == 0)
        {
            Console.Error.WriteLine("No memory came.");
            return 2;
        }

        var context = new CudaContext(ordinal);
        var request = Open(context, words, descriptors[0]!);
        var reply = words == WordsIn.ReadOnlyMemfd ? Open(context, WordsIn.Memfd, descriptors[1]!) : request;
        var stream = new GpuStream(context);
        for (var n = 1; n <= rounds; n++)
        {
            stream.WaitFor(request + RequestAt, (ulong)n);
            stream.Write(reply + ReplyAt, (ulong)n);
        }

        Console.WriteLine("ready");
        Console.Out.Flush();

        // Until it is killed: its context goes with it, not before. The end of its input is the end of who started it.
        Console.In.ReadToEnd();
        return 0;
    }

    private static ulong Open(CudaContext context, WordsIn words, SafeFileHandle descriptor)
    {
        if (words == WordsIn.Vmm)
        {
            return SharedAllocation.Import(context, descriptor, SharedWords.Bytes).Address;
        }

        var mapping = SharedMapping.Import(descriptor, SharedWords.Bytes, writable: words == WordsIn.Memfd);
        return (ulong)new Registration(context, mapping, isReadOnly: words == WordsIn.ReadOnlyMemfd).DangerousGetHandle();
    }

    private InvalidOperationException Failure()
    {
        if (!_process.WaitForExit(TimeSpan.FromSeconds(1)))
        {
            _process.Kill();
        }

        return new InvalidOperationException($"The second process failed: {_process.StandardError.ReadToEnd().Trim()}");
    }
}
