using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;

namespace Kvcached;

/// <summary>A lane of an embedded cache.</summary>
internal sealed class EmbeddedLane(EmbeddedCache cache, LaneState state, DeviceTimeline begin, DeviceTimeline end) : KvLane(cache, begin, end)
{
    public override int Depth => State.Depth;

    public override int MaxBatch => State.MaxBatch;

    internal LaneState State { get; } = state;

    public override KvStepStatus StatusOf(ulong number) => cache.StatusOf(this, number);

    internal override ulong ViewsAddress(ulong step, int layout)
    {
        CheckLayout(layout);
        return State.ViewRing.Address + (ulong)State.ViewOffset(step, layout);
    }

    internal override ulong WindowsAddress(ulong step, int layout) => WindowsOf(layout).AddressesOf(step, layout);

    internal override void StoreWindows(ulong step, int layout, CommandList commands)
    {
        ArgumentNullException.ThrowIfNull(commands);
        WindowsOf(layout).Store(commands, step, layout, cache.WindowArguments(this, step, layout));
    }

    internal override PageTable PageTable(ulong step, int layout) => cache.PageTable(this, step, layout);

    private protected override KvStepStatus Begin(ReadOnlySpan<KvStepItem> batch, out ulong number) => cache.Begin(this, batch, out number);

    private WindowRing WindowsOf(int layout)
    {
        CheckLayout(layout);
        return State.Windows ?? throw NoWindows();
    }

    private void CheckLayout(int layout) => KvCacheOptions.Check(nameof(layout), layout, 0, State.MaxLayouts - 1, 1);
}
