using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Kvcached.Kernels.Gpu;

/// <summary>
/// A kernel for devices that compile it: entry points of a <see cref="GpuSource"/> that take one blittable argument blob by value, the same as on
/// the cpu device, and behind it for each address in the blob, in order, what OpenCL needs to reach it: the memory object and the memory's
/// address (<c>KV_MEMORY</c> in the source; nothing for CUDA). Immutable.
/// </summary>
public sealed class GpuKernel
{
    /// <summary>Describes a kernel.</summary>
    /// <param name="name">Name by which <c>IDevice.LoadKernel</c> finds it.</param>
    /// <param name="source">Where its entry points stand.</param>
    /// <param name="entryPoints">Functions of the source, for the plan to choose from.</param>
    /// <param name="plan">Spreads a launch.</param>
    /// <param name="addresses">Byte offsets in the blob at which addresses stand: the order of <c>KV_MEMORY(0)</c>, <c>KV_MEMORY(1)</c>, …</param>
    public GpuKernel(string name, GpuSource source, ImmutableArray<string> entryPoints, GpuLaunchPlan plan, params ReadOnlySpan<int> addresses)
    {
        Name = name;
        Source = source;
        EntryPoints = entryPoints;
        Plan = plan;
        Addresses = [.. addresses];
    }

    /// <summary>Name by which the kernel is loaded.</summary>
    public string Name { get; }

    /// <summary>Where the entry points stand.</summary>
    public GpuSource Source { get; }

    /// <summary>Names of functions of the source.</summary>
    public ImmutableArray<string> EntryPoints { get; }

    /// <summary>Byte offsets in the blob at which addresses stand. An address of 0 is none.</summary>
    public ImmutableArray<int> Addresses { get; }

    /// <summary>Spreads a launch.</summary>
    public GpuLaunchPlan Plan { get; }

    /// <summary>How a launch is spread, by a plan that keeps to what <see cref="GpuLaunch"/> says. Allocates nothing.</summary>
    /// <exception cref="ArgumentException">As <see cref="GpuLaunchPlan"/>.</exception>
    /// <exception cref="InvalidOperationException">The plan gave a launch that no device can run; the message names value and limit.</exception>
    public GpuLaunch Spread(ReadOnlySpan<byte> arguments, int computeUnits)
    {
        var launch = Plan(arguments, computeUnits);
        if (launch.IsEmpty)
        {
            return launch;
        }

        return (uint)launch.EntryPoint >= (uint)EntryPoints.Length ? throw Wrong($"entry point {launch.EntryPoint} of {EntryPoints.Length}")
            : launch.GroupSize > GpuLaunch.MaxGroupSize || launch.GroupSize % GpuLaunch.CpuLanes != 0
                ? throw Wrong($"groups of {launch.GroupSize} lanes; they are multiples of {GpuLaunch.CpuLanes} up to {GpuLaunch.MaxGroupSize}")
            : launch.GroupsX > int.MaxValue || launch.GroupsY > ushort.MaxValue || launch.GroupsZ > ushort.MaxValue
                ? throw Wrong($"{launch.GroupsX} x {launch.GroupsY} x {launch.GroupsZ} groups; there are at most {int.MaxValue} x {ushort.MaxValue} x {ushort.MaxValue}")
            : launch;
    }

    /// <summary>A kernel's arguments out of the blob.</summary>
    /// <exception cref="ArgumentException">The blob has another size.</exception>
    public static ref readonly T ArgumentsAs<T>(ReadOnlySpan<byte> arguments)
        where T : unmanaged =>
        ref arguments.Length == Marshal.SizeOf<T>()
            ? ref MemoryMarshal.AsRef<T>(arguments)
            : ref ThrowSize<T>(arguments.Length);

    /// <summary>Byte offset of a field of an argument struct.</summary>
    public static int OffsetOf<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicFields | DynamicallyAccessedMemberTypes.NonPublicFields)] T>(string field)
        where T : unmanaged =>
        (int)Marshal.OffsetOf<T>(field);

    private InvalidOperationException Wrong(string choice) => new($"The plan of the kernel {Name} chose {choice}.");

    private static ref readonly T ThrowSize<T>(int bytes)
        where T : unmanaged =>
        throw new ArgumentException($"The arguments have {bytes} bytes; {typeof(T).Name} has {Marshal.SizeOf<T>()}.", nameof(bytes));
}
