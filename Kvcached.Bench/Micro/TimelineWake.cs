using System.ComponentModel;
using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Micro;

/// <summary>
/// Two threads signal and wait for each other in turn: a round trip is two wake-ups. The timeline is a word in shared memory and a futex, and serves
/// several processes. Lost: the kernel's eventfd, faster where somebody waits, with a call for every signal and every wait, and no value to wait for;
/// <see cref="ManualResetEventSlim"/>, which is of one process. Signals that nobody waits for are beside them: most are.
/// </summary>
public unsafe partial class TimelineWake : IDisposable
{
    private const int Trips = 1000;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly ManualResetEventSlim[] _events = [new(), new()];
    private readonly int[] _descriptors = new int[2];
    private readonly SemaphoreSlim _start = new(0);
    private readonly SemaphoreSlim _done = new(0);
    private CpuDevice _device = null!;
    private DeviceTimeline[] _timelines = [];
    private ulong _value;
    private Action? _peer;
    private Thread _thread = null!;

    [GlobalSetup]
    public void Setup()
    {
        _device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        _timelines = [_device.CreateTimeline("ping"), _device.CreateTimeline("pong")];
        foreach (ref var descriptor in _descriptors.AsSpan())
        {
            descriptor = Check(EventFd(0, 0));
        }

        _thread = new Thread(() =>
        {
            for (_start.Wait(); _peer is { } peer; _start.Wait())
            {
                peer();
                _done.Release();
            }
        });
        _thread.Start();
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _peer = null;
        _start.Release();
        _thread.Join();
        Array.ForEach(_descriptors, descriptor => Check(Close(descriptor)));
        _device.Dispose();
        _start.Dispose();
        _done.Dispose();
        Array.ForEach(_events, signal => signal.Dispose());
        GC.SuppressFinalize(this);
    }

    [Benchmark(OperationsPerInvoke = Trips, Baseline = true)]
    public int Timeline()
    {
        var first = _value + 1;
        _value += Trips;
        return Run(
            i =>
            {
                _timelines[0].Signal(first + (ulong)i);
                _timelines[1].WaitOnHost(first + (ulong)i, _limit);
            },
            i =>
            {
                _timelines[0].WaitOnHost(first + (ulong)i, _limit);
                _timelines[1].Signal(first + (ulong)i);
            });
    }

    [Benchmark(OperationsPerInvoke = Trips)]
    public int EventFd() => Run(
        _ =>
        {
            Post(0);
            Take(1);
        },
        _ =>
        {
            Take(0);
            Post(1);
        });

    [Benchmark(OperationsPerInvoke = Trips)]
    public int ManualResetEvent() => Run(
        _ =>
        {
            _events[0].Set();
            _events[1].Wait();
            _events[1].Reset();
        },
        _ =>
        {
            _events[0].Wait();
            _events[0].Reset();
            _events[1].Set();
        });

    [Benchmark(OperationsPerInvoke = Trips)]
    public int TimelineUnheard()
    {
        for (var i = 0; i < Trips; i++)
        {
            _timelines[0].Signal(++_value);
        }

        return Trips;
    }

    [Benchmark(OperationsPerInvoke = Trips)]
    public int EventFdUnheard()
    {
        for (var i = 0; i < Trips; i++)
        {
            Post(0);
        }

        Take(0);
        return Trips;
    }

    private int Run(Action<int> ping, Action<int> pong)
    {
        _peer = () =>
        {
            for (var i = 0; i < Trips; i++)
            {
                pong(i);
            }
        };
        _start.Release();
        var trips = 0;
        for (; trips < Trips; trips++)
        {
            ping(trips);
        }

        _done.Wait();
        return trips;
    }

    private void Post(int side)
    {
        var one = 1UL;
        Check((int)Write(_descriptors[side], &one, sizeof(ulong)));
    }

    private void Take(int side)
    {
        ulong count;
        Check((int)Read(_descriptors[side], &count, sizeof(ulong)));
    }

    private static int Check(int result) => result >= 0 ? result : throw new Win32Exception(Marshal.GetLastPInvokeError());

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int descriptor, ulong* value, nuint bytes);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int descriptor, ulong* value, nuint bytes);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);
}
