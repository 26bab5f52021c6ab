using Kvcached.Devices;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>A point that a submission waits for, and why.</summary>
internal readonly record struct EngineWait(Point Point, WaitReason Reason);

/// <summary>
/// All that the engine sees of a device: where its submissions go. Returns at once and captures what it is given; there is nothing here that
/// could wait (I1). Queues are numbered lane × 2 for <c>in</c> (lane 0: the background queue), plus 1 for <c>out</c>.
/// </summary>
internal interface ISubmitter
{
    void Submit(int queue, ReadOnlySpan<EngineWait> waits, CommandList commands, Point signal);

    /// <summary>Gives the physical memory behind a range of the pool back to the system. Nothing that has not been observed touches it.</summary>
    void Discard(long offset, long bytes);

    /// <summary>Gives memory to a range of the pool that was discarded, before anything is submitted that touches it.</summary>
    /// <returns>The arrival at which the range has it, or it has been refused; none where the range has it now.</returns>
    Point Populate(long offset, long bytes);

    /// <summary>Whether an arrival that has been observed is a refusal. Ask once.</summary>
    bool IsRefused(Point arrival);

    /// <summary>A lane has ended: its queues, timelines and memory can go. All that it submitted has been observed, and its number may be another's next.</summary>
    void Close(int lane);
}
