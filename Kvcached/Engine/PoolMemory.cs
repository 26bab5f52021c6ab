using System.Numerics;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Asks the device for memory of the pool. Where that was refused (another process has it), nothing is asked for during a pause, and the pool ends with what it has: steps that want more are
/// planned again, and evict.
/// </summary>
internal sealed class PoolMemory(EngineOptions options, ISubmitter submitter) : IUnitMemory
{
    /// <summary>Milliseconds of the host's clock.</summary>
    public const long Pause = 1000;

    private long _refusals;
    private long _refusedAt;

    public bool ComesLater { get; } = options.Pool.Returns == Devices.MemoryReturn.Later;

    public int LeastOrder { get; } = BitOperations.Log2((ulong)Math.Max(1, options.Pool.ExtentBytes / options.UnitBytes));

    public Point Populate(int start, int units) => submitter.Populate(start * options.UnitBytes, units * options.UnitBytes);

    public bool IsRefused(Point arrival) => submitter.IsRefused(arrival);

    /// <summary>Ends the pause when its time has come, counted from the last refusal.</summary>
    public void Tick(UnitMap units, long now)
    {
        if (units.Refused != _refusals)
        {
            (_refusals, _refusedAt) = (units.Refused, now);
        }

        if (now - _refusedAt >= Pause && !RuleFaults.Is(RuleFault.RefusedForEver))
        {
            units.AskAgain();
        }
    }
}
