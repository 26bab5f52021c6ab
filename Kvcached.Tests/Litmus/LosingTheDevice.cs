using System.Diagnostics;
using System.Runtime.CompilerServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Tests.Litmus;

/// <summary>Loses a device.</summary>
internal delegate void Loss(CpuDevice device);

/// <summary>
/// A device is lost while a host thread (party 1) waits on one of its timelines: the thread is told, and does not sleep on. A device tells
/// the threads of its own process.
/// </summary>
internal sealed class LosingTheDevice() : LitmusTest<Loss>(
    "losing the device",
    2,
    (_, _) => device => device.Lose(0, new InvalidOperationException("litmus")),
    new Fault<Loss>("LosesSilently", (_, _) => device => FaultOf(device) = new DeviceLostException("litmus", null)))
{
    /// <summary>Of this round and of the one before, which party 1 may not be done with.</summary>
    private readonly (CpuDevice Device, DeviceTimeline Timeline)?[] _made = new (CpuDevice, DeviceTimeline)?[2];

    internal override bool IsShared => false;

    internal override long LeastRounds => 500;

    protected override void Run(LitmusParty party, Func<int, Loss> make)
    {
        var lose = make(0);
        for (var round = 1L; Prepare(party, round) && party.Begins(round); round++)
        {
            if (party.Index == 0)
            {
                party.Pause(LitmusParty.LongPause);
                lose(_made[round % 2]!.Value.Device);
            }
            else if (!IsTold(party, _made[round % 2]!.Value.Timeline))
            {
                return;
            }
        }
    }

    internal override void End()
    {
        Array.ForEach(_made, m => m?.Device.Dispose());
        Array.Clear(_made);
    }

    private static bool IsTold(LitmusParty party, DeviceTimeline timeline)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            timeline.WaitOnHost(1, party.Patience);
            return party.Violate("the wait ended, and nothing was said of the loss");
        }
        catch (DeviceLostException)
        {
            var waited = Stopwatch.GetElapsedTime(started);
            return waited < party.Patience || party.Violate($"the wait slept on for {waited.TotalMilliseconds:F0} ms, and then found the device lost");
        }
    }

    /// <summary>A fresh device for each round, made by party 0 while the other waits for the round to begin.</summary>
    private bool Prepare(LitmusParty party, long round)
    {
        if (party.Index == 0)
        {
            ref var made = ref _made[round % 2];
            made?.Device.Dispose();
            var device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
            made = (device, device.CreateTimeline("litmus"));
        }

        return true;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_fault")]
    private static extern ref DeviceLostException? FaultOf(CpuDevice device);
}
