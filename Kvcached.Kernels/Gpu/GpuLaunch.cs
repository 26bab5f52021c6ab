namespace Kvcached.Kernels.Gpu;

/// <summary>
/// How one launch is spread over a device. Where any number is 0 there is nothing to do.
/// <para>
/// A work-item does the work of <c>KV_LANES</c> lanes, a macro that is defined when a source is compiled: 1 for CUDA and for OpenCL on a GPU, where
/// a lane is a thread, and <see cref="CpuLanes"/> for OpenCL on a CPU, where lanes are those of a vector.
/// </para>
/// </summary>
/// <param name="EntryPoint">Index in <see cref="GpuKernel.EntryPoints"/>.</param>
/// <param name="GroupSize">Lanes of a group (a block), in one dimension: a multiple of <see cref="CpuLanes"/>, up to <see cref="MaxGroupSize"/>. Work-items are GroupSize / KV_LANES.</param>
/// <param name="GroupsX">Groups (blocks of the grid), first dimension.</param>
/// <param name="GroupsY">Second dimension: below 65,536.</param>
/// <param name="GroupsZ">Third dimension: below 65,536.</param>
public readonly record struct GpuLaunch(int EntryPoint, uint GroupSize, uint GroupsX, uint GroupsY = 1, uint GroupsZ = 1)
{
    /// <summary><c>KV_LANES</c> for a CPU.</summary>
    public const uint CpuLanes = 16;

    /// <summary>Most lanes of a group.</summary>
    public const uint MaxGroupSize = 256;

    /// <summary>Whether there is nothing to do.</summary>
    public bool IsEmpty => GroupSize == 0 || GroupsX == 0 || GroupsY == 0 || GroupsZ == 0;
}

/// <summary>
/// Spreads a launch over a device, from its arguments alone: what stands in device memory is not known yet. Allocates nothing; any thread.
/// </summary>
/// <param name="arguments">The launch's argument blob.</param>
/// <param name="computeUnits">Compute units (multiprocessors) of the device.</param>
/// <exception cref="ArgumentException">The blob has another size than the kernel's arguments, or asks for more than the kernel can do; the message names the limit.</exception>
public delegate GpuLaunch GpuLaunchPlan(ReadOnlySpan<byte> arguments, int computeUnits);
