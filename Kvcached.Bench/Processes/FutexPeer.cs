using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Kvcached.Daemon.Processes;
using Kvcached.Devices.Linux;

namespace Kvcached.Bench.Processes;

/// <summary>
/// A bare ping-pong between two processes: a word each in shared memory, and a futex on each. Neither side spins. What any call from one process to another and back costs at the least.
/// <code>
///   this process     ping = n, wake ping · wait while pong = n − 1
///   the peer         wait while ping = n − 1 · pong = n, wake pong
/// </code>
/// </summary>
internal sealed unsafe class FutexPeer : IDisposable
{
    private const string CommandName = "futex-peer";
    private const int PongAt = 64;
    private const uint Over = uint.MaxValue;

    private readonly SharedMapping _mapping = SharedMapping.Create(4096, "ping-pong");
    private readonly Process _peer;
    private uint _round;

    public FutexPeer()
    {
        _mapping.Seal(againstWriting: false);
        _peer = OwnProcess.Start(typeof(FutexPeer).Assembly, CommandName, Environment.ProcessId.ToString(CultureInfo.InvariantCulture), _mapping.Descriptor.DangerousGetHandle().ToString(CultureInfo.InvariantCulture));
        RoundTrip();
    }

    public static Command CreateCommand()
    {
        var process = new Argument<int>("process");
        var descriptor = new Argument<int>("descriptor");
        var command = new Command(CommandName, "The other process of a ping-pong.") { process, descriptor };
        command.Hidden = true;
        command.SetAction(parse => Answer(parse.GetValue(process), parse.GetValue(descriptor)));
        return command;
    }

    /// <summary>There and back.</summary>
    public void RoundTrip()
    {
        var ping = (uint*)_mapping.Address;
        var pong = (uint*)(_mapping.Address + PongAt);
        Volatile.Write(ref *ping, ++_round);
        Futex.Wake(ping, 1);
        while (Volatile.Read(ref *pong) != _round)
        {
            Futex.Wait(pong, _round - 1, TimeSpan.FromSeconds(10));
            if (_peer.HasExited)
            {
                throw new InvalidOperationException($"The peer has ended: {_peer.StandardError.ReadToEnd()}");
            }
        }
    }

    public void Dispose()
    {
        Volatile.Write(ref *(uint*)_mapping.Address, Over);
        Futex.Wake((uint*)_mapping.Address, 1);
        _peer.WaitForExit();
        _peer.Dispose();
        _mapping.Dispose();
    }

    private static int Answer(int process, int descriptor)
    {
        using var mapping = SharedMapping.Import(File.OpenHandle($"/proc/{process}/fd/{descriptor}", FileMode.Open, FileAccess.ReadWrite), 4096, writable: true);
        using var parent = Process.GetProcessById(process);
        var ping = (uint*)mapping.Address;
        var pong = (uint*)(mapping.Address + PongAt);
        for (var round = 1u; ; round++)
        {
            while (Volatile.Read(ref *ping) == round - 1)
            {
                Futex.Wait(ping, round - 1, TimeSpan.FromSeconds(1));
                if (parent.HasExited)
                {
                    return 0;
                }
            }

            if (Volatile.Read(ref *ping) == Over)
            {
                return 0;
            }

            Volatile.Write(ref *pong, round);
            Futex.Wake(pong, 1);
        }
    }
}
