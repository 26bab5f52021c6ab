using Kvcached.Devices.Sim;

namespace Kvcached.Bench.Simulation;

/// <summary>How the clients of a program share what there is.</summary>
/// <param name="SharesRows">A client may pin its part of the entry heap, and no more; else what it likes.</param>
/// <param name="SharesExceedPool">Clients may pin twice their parts of the pool: together more than it has.</param>
/// <param name="HasSmallPool">A unit of the pool for each client, and every layout has a sliding window: sequences outgrow the pool.</param>
internal readonly record struct ProgramLimits(bool SharesRows, bool SharesExceedPool, bool HasSmallPool)
{
    public static ProgramLimits Draw(ref SimRandom random) => new(random.OneIn(2), random.OneIn(4), random.OneIn(8));
}
