using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Kernels;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Decode over keys and values that lie in one way (A) and in another (B), by the same kernel or its twin; both must give the same bits. Microseconds of GPU time a step.</summary>
internal sealed class GpuDecodeSides : RatioSides
{
    private const int StepsPerRun = 5;
    private readonly GpuStream _stream;
    private readonly GpuAttention _a;
    private readonly GpuAttention _b;
    private readonly string _label;

    public GpuDecodeSides(GpuRig rig, GpuAttentionSize size, ElementFormat format, KvPlaces a, KvPlaces b)
    {
        _stream = new GpuStream(rig);
        _a = new GpuAttention(rig.Device, _stream, size, format, a);
        _b = new GpuAttention(rig.Device, _stream, size, format, b);
        _label = format.ToString().ToLowerInvariant();
        if (!_a.Results().AsSpan().SequenceEqual(_b.Results()))
        {
            throw new InvalidOperationException($"Decode of {format} over {a} and {b} keys and values does not give the same bits.");
        }
    }

    public override bool IsPinned => false;

    public override double RunA() => Run(_a);

    public override double RunB() => Run(_b);

    public override IEnumerable<ExtraField> Extra(double a, double b) => [new ExtraField(_label, a / b), new ExtraField($"{_label}_gb_s", _a.KvBytes / a / 1000)];

    protected override void Dispose(bool disposing)
    {
        _a.Dispose();
        _b.Dispose();
        _stream.Dispose();
        base.Dispose(disposing);
    }

    private double Run(GpuAttention attention) => _stream.Time(() =>
    {
        for (var step = 0; step < StepsPerRun; step++)
        {
            attention.Enqueue();
        }
    }) / StepsPerRun;
}

/// <summary>Bytes of keys and values that decode reads each second (A), and that a copy inside the GPU reads and writes (B), both by the GPU's clock. GB/s.</summary>
internal sealed class GpuBandwidthSides : RatioSides
{
    private readonly GpuStream _stream;
    private readonly GpuAttention _attention;
    private readonly DeviceMemory _source;
    private readonly DeviceMemory _target;
    private readonly string _label;

    public GpuBandwidthSides(GpuRig rig, GpuAttentionSize size, ElementFormat format)
    {
        _stream = new GpuStream(rig);
        _attention = new GpuAttention(rig.Device, _stream, size, format, KvPlaces.Scattered);
        _source = rig.Device.Allocate(_attention.KvBytes / 2, MemoryKind.Device, "source");
        _target = rig.Device.Allocate(_attention.KvBytes / 2, MemoryKind.Device, "target");
        _label = format.ToString().ToLowerInvariant();
    }

    public override bool IsPinned => false;

    public override double RunA() => _attention.KvBytes / _stream.Time(_attention.Enqueue) / 1000;

    public override double RunB() => _attention.KvBytes / _stream.Time(() => _stream.Copy(_target.Address, _source.Address, _source.Bytes)) / 1000;

    public override IEnumerable<ExtraField> Extra(double a, double b) => [new ExtraField(_label, a / b), new ExtraField($"{_label}_gb_s", a)];

    protected override void Dispose(bool disposing)
    {
        _source.Dispose();
        _target.Dispose();
        _attention.Dispose();
        _stream.Dispose();
        base.Dispose(disposing);
    }
}
