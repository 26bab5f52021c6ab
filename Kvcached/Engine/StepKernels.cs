using Kvcached.Kernels;

namespace Kvcached.Engine;

/// <summary>What a client asks of a step for kernels of its own that take page tables or windows in place of views.</summary>
internal sealed class StepKernels(EngineState state)
{
    /// <summary>What the kernels need to know that copy between blocks and windows of a step, but for where the windows lie.</summary>
    /// <exception cref="KvException">The step's model has no such layout, or the step is not one of the lane's last.</exception>
    public WindowArguments WindowArguments(LaneState lane, ulong number, int layout) => state.WindowArgumentsOf(lane, FindStep(lane, number, layout), layout);

    /// <summary>Where a step's page tables of a layout lie.</summary>
    /// <exception cref="KvException">The lane has none, the step's model has no such layout or that one none, or the step is not one of the lane's last.</exception>
    public PageTable PageTable(LaneState lane, ulong number, int layout)
    {
        if (lane.PageTables is not { } tables)
        {
            throw new KvException(KvError.InvalidArgument, "The lane has no page tables: it was opened with MaxPages 0.");
        }

        return state.Models[FindStep(lane, number, layout).Model].Layouts[layout].HasPageTable
            ? tables.TableOf(number, layout)
            : throw new KvException(KvError.InvalidArgument, $"Layout {layout} has no page tables: it was registered without PageTable.");
    }

    private StepRecord FindStep(LaneState lane, ulong number, int layout)
    {
        var step = lane.StepAt(number);
        if (step.Number != number || number + (ulong)lane.Depth <= lane.Begun)
        {
            throw new KvException(KvError.InvalidArgument, $"Step {number} is not one of the lane's last {lane.Depth}.");
        }

        KvCacheOptions.Check(nameof(layout), layout, 0, state.Models[step.Model].Layouts.Length - 1, 1);
        return step;
    }
}
