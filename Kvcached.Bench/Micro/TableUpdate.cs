using BenchmarkDotNet.Attributes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;

namespace Kvcached.Bench.Micro;

/// <summary>
/// Entries of a table that lie apart, written by a queue: all in the list of one command, whose values are captured at the submit. Lost: a fill
/// for each entry, and a copy for each from staging memory, which the host may not touch again before it has seen the copy end.
/// </summary>
public unsafe class TableUpdate : IDisposable
{
    private const int Entries = 512;
    private const int Stride = 7;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CommandList _commands = new();
    private CpuDevice _device = null!;
    private DeviceQueue _queue = null!;
    private DeviceTimeline _timeline = null!;
    private DeviceMemory _table = null!;
    private DeviceMemory _staging = null!;
    private ulong _value;
    private uint _entry;

    [GlobalSetup]
    public void Setup()
    {
        _device = new CpuDevice(new CpuDeviceOptions { Workers = 1 });
        _queue = _device.CreateQueue("table");
        _timeline = _device.CreateTimeline("table");
        _table = _device.Allocate(Entries * Stride * sizeof(uint), MemoryKind.Device, "table");
        _staging = _device.Allocate(Entries * sizeof(uint), MemoryKind.Host, "staging");
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _queue.Dispose();
        _device.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(OperationsPerInvoke = Entries, Baseline = true)]
    public bool List()
    {
        var entry = NextEntry();
        for (var i = 0u; i < Entries; i++)
        {
            _commands.UpdateTable(_table, i * Stride, entry);
        }

        return Submit();
    }

    [Benchmark(OperationsPerInvoke = Entries)]
    public bool Fills()
    {
        var value = (byte)NextEntry();
        for (var i = 0; i < Entries; i++)
        {
            _commands.Fill(_table, i * Stride * sizeof(uint), sizeof(uint), value);
        }

        return Submit();
    }

    [Benchmark(OperationsPerInvoke = Entries)]
    public bool Copies()
    {
        var entry = NextEntry();
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, uint>(_staging.HostSpan(0, Entries * sizeof(uint)));
        for (var i = 0; i < Entries; i++)
        {
            values[i] = entry;
            _commands.Copy(_table, i * Stride * sizeof(uint), _staging, i * sizeof(uint), sizeof(uint));
        }

        return Submit();
    }

    // Four times the same byte, as a fill can write.
    private uint NextEntry() => _entry += 0x01010101;

    private bool Submit()
    {
        _queue.Submit([], _commands, new TimelinePoint(_timeline, ++_value));
        _commands.Clear();
        var table = (uint*)_table.Address;
        return _timeline.WaitOnHost(_value, _limit) && table[0] == _entry && table[(Entries - 1) * Stride] == _entry;
    }
}
