using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Memory;

namespace Kvcached.Engine;

/// <summary>
/// Where the steps of a lane publish the addresses of windows: a slot for each step of depth, taken in turn like view slots, with room for each
/// layout. Staged on the host beside the views; behind the addresses lie the tokens from which on the publish gathers.
/// <code>
///   slot   ulong addresses[MaxBatch] · uint first[MaxBatch]
/// </code>
/// The addresses are those of the process whose kernels read them; a kernel that runs elsewhere gets the distance to its own (<see cref="WindowArguments.Displacement"/>).
/// </summary>
/// <param name="options">Sizes of the lane.</param>
/// <param name="memory">The slots.</param>
/// <param name="pool">Address of the pool's byte 0 for the kernels of the lane's steps.</param>
/// <param name="store">Copies new tokens to blocks; null where the lane's steps run in another process.</param>
/// <param name="gathering">What publishes; null where another process does.</param>
internal sealed class WindowRing(KvLaneOptions options, DeviceMemory memory, ulong pool, DeviceKernel? store, WindowGathering? gathering)
{
    private const long Alignment = KvShape.GranuleBytes;

    /// <summary>The slots.</summary>
    public DeviceMemory Memory => memory;

    public static long BytesOf(KvLaneOptions options) => options.Depth * options.MaxLayouts * BytesOfLayout(options);

    /// <summary>Address that a window at an offset of the pool has for the kernels of the lane's steps.</summary>
    public ulong AddressAt(long offset) => pool + (ulong)offset;

    /// <summary>Address of ulong[batch]: the address of each sequence's window, 0 for none.</summary>
    public ulong AddressesOf(ulong step, int layout) => memory.Address + (ulong)OffsetOf(step, layout);

    public Span<ulong> StagedAddresses(ulong step, int layout) =>
        MemoryMarshal.Cast<byte, ulong>(gathering!.Staging.HostSpan(OffsetOf(step, layout), options.MaxBatch * sizeof(ulong)));

    public Span<uint> StagedFirst(ulong step, int layout) =>
        MemoryMarshal.Cast<byte, uint>(gathering!.Staging.HostSpan(OffsetOf(step, layout) + (options.MaxBatch * (long)sizeof(ulong)), options.MaxBatch * sizeof(uint)));

    /// <summary>Forgets what an earlier step staged.</summary>
    public void Clear(ulong step, int layouts, int batch)
    {
        for (var layout = 0; layout < layouts && !RuleFaults.Is(RuleFault.WindowAddressLeft); layout++)
        {
            StagedAddresses(step, layout)[..batch].Clear();
        }
    }

    /// <summary>Adds the copy of a layout's addresses to the publish, and the launch that gathers, if there is anything to gather.</summary>
    public void Publish(CommandList commands, ulong step, int layout, in WindowArguments arguments, bool isGathering)
    {
        commands.Copy(memory, OffsetOf(step, layout), gathering!.Staging, OffsetOf(step, layout), BytesOfLayout(options));
        if (isGathering)
        {
            commands.Launch(gathering.Kernel, Complete(arguments, step, layout));
        }
    }

    /// <summary>Adds the launch that stores a step's new tokens.</summary>
    public void Store(CommandList commands, ulong step, int layout, in WindowArguments arguments) => commands.Launch(store!, Complete(arguments, step, layout));

    private WindowArguments Complete(in WindowArguments arguments, ulong step, int layout)
    {
        var addresses = AddressesOf(step, layout);
        return arguments with { Windows = addresses, FirstTokens = addresses + ((ulong)options.MaxBatch * sizeof(ulong)), Displacement = arguments.Pool - pool };
    }

    private long OffsetOf(ulong step, int layout)
    {
        var slots = RuleFaults.Is(RuleFault.WindowSlotReusedEarly) ? 1UL : (ulong)options.Depth;
        return (((long)(step % slots) * options.MaxLayouts) + layout) * BytesOfLayout(options);
    }

    private static long BytesOfLayout(KvLaneOptions options) =>
        ((options.MaxBatch * (long)(sizeof(ulong) + sizeof(uint))) + Alignment - 1) / Alignment * Alignment;
}

/// <summary>What publishes addresses of windows and gathers into them: memory of the host, and the kernel.</summary>
internal sealed record WindowGathering(DeviceMemory Staging, DeviceKernel Kernel);
