using System.Runtime.InteropServices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Sim;
using Kvcached.Kernels;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Devices;

namespace Kvcached.Tests.Contiguous;

/// <summary>Memory as a kernel of either device reaches it.</summary>
internal interface IKernelMemory
{
    T Read<T>(ulong address)
        where T : unmanaged;

    void Write<T>(ulong address, T value)
        where T : unmanaged;
}

/// <summary>What the host expects of one sequence of a step. The versions of its tokens, a byte each, lie at <see cref="Versions"/>, in the memory of the expectations.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WindowExpectation
{
    public uint SequenceId;
    public uint Tokens;
    public uint NewTokens;
    public uint HasWindow;
    public ulong Versions;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WindowStampArguments
{
    public ulong Pool;
    public ulong PoolBytes;
    public ulong Entries;
    public ulong Views;
    public ulong Windows;
    public ulong Expectations;

    /// <summary>Address of two counts for each sequence of the batch: tokens that were right and that were wrong.</summary>
    public ulong Tally;
    public KvShape Block;
    public KvShape Window;
    public int Batch;

    /// <summary>Whether all of the step's tokens are looked at where they lie, in blocks and window; else the new ones are written, to the window alone where there is one.</summary>
    public int Checks;
}

/// <summary>
/// The step's own kernel, knowing windows as an unmodified kernel does: it looks at what lay in the window before the step, or in the blocks where
/// there is no window, and writes the new tokens there alone. A second launch then looks at all tokens in both.
/// </summary>
internal static unsafe class WindowStamps
{
    public const string Name = "test.window";

    public static CpuKernel CpuKernel => new(Name, &Items, &Run);

    public static SimKernel SimKernel => new SimDelegateKernel(Name, static (ref SimKernelContext context, int slice) =>
    {
        ref readonly var arguments = ref context.ArgumentsAs<WindowStampArguments>();
        var memory = new SimAccess(context);
        Run(ref memory, arguments, slice);
        return slice + 1 == arguments.Batch;
    });

    /// <summary>The same for devices that compile it.</summary>
    public static GpuKernel GpuKernel { get; } = new(
        Name,
        GpuTestKernels.Caches,
        ["test_window"],
        static (blob, _) => new GpuLaunch(0, 64, (uint)GpuKernel.ArgumentsAs<WindowStampArguments>(blob).Batch),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Pool)),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Entries)),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Views)),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Windows)),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Expectations)),
        GpuKernel.OffsetOf<WindowStampArguments>(nameof(WindowStampArguments.Tally)));

    private static int Items(void* arguments) => ((WindowStampArguments*)arguments)->Batch;

    private static void Run(void* arguments, int item, int worker)
    {
        var memory = default(CpuAccess);
        Run(ref memory, *(WindowStampArguments*)arguments, item);
    }

    private static void Run<TMemory>(ref TMemory memory, in WindowStampArguments arguments, int item)
        where TMemory : IKernelMemory, allows ref struct
    {
        var view = memory.Read<SequenceView>(arguments.Views + ((ulong)item * SequenceView.Bytes));
        var expected = memory.Read<WindowExpectation>(arguments.Expectations + ((ulong)item * (ulong)sizeof(WindowExpectation)));
        var window = memory.Read<ulong>(arguments.Windows + ((ulong)item * sizeof(ulong)));
        long right = 0, wrong = 0;
        if (view.SequenceId != expected.SequenceId || view.TokenCount != expected.Tokens || view.NewTokens != expected.NewTokens || (window != 0) != (expected.HasWindow != 0) || (window != 0 && window - arguments.Pool >= arguments.PoolBytes))
        {
            wrong++;
        }
        else
        {
            var before = (int)(view.TokenCount - view.NewTokens);
            for (var token = 0; token < (arguments.Checks != 0 ? (int)view.TokenCount : before); token++)
            {
                var isRight = (window == 0 || Walk(ref memory, arguments, view, expected, window, token, writes: false))
                    && ((window != 0 && arguments.Checks == 0) || Walk(ref memory, arguments, view, expected, 0, token, writes: false));
                right += isRight ? 1 : 0;
                wrong += isRight ? 0 : 1;
            }

            for (var token = before; arguments.Checks == 0 && token < view.TokenCount; token++)
            {
                Walk(ref memory, arguments, view, expected, window, token, writes: true);
            }
        }

        var tally = arguments.Tally + ((ulong)item * 2 * sizeof(long));
        memory.Write(tally, memory.Read<long>(tally) + right);
        memory.Write(tally + sizeof(long), memory.Read<long>(tally + sizeof(long)) + wrong);
    }

    /// <summary>Writes or compares the first and last word of each vector of a token, in a window or, where that is 0, in its block.</summary>
    private static bool Walk<TMemory>(ref TMemory memory, in WindowStampArguments arguments, in SequenceView view, in WindowExpectation expected, ulong window, int token, bool writes)
        where TMemory : IKernelMemory, allows ref struct
    {
        var shape = window == 0 ? arguments.Block : arguments.Window;
        var start = window == 0
            ? arguments.Pool + TableLookup.BlockOffset(memory.Read<uint>(arguments.Entries + ((ulong)TableLookup.EntryIndex(view, shape, token) * sizeof(uint)))) + TableLookup.OffsetInBlock(shape, token, 0, 0, 0)
            : window + ((ulong)token * shape.TokenStride);
        var version = memory.Read<byte>(expected.Versions + (ulong)token);
        var isRight = true;
        for (var vector = 0; vector < shape.Layers * shape.Planes * shape.Heads; vector++)
        {
            var plane = vector / (int)shape.Heads;
            var place = start + TableLookup.OffsetInBlock(shape, 0, plane / (int)shape.Planes, plane % (int)shape.Planes, vector % (int)shape.Heads);
            var last = place + (shape.HeadDim * shape.ElementBytes) - sizeof(ulong);
            var stamp = ((((((ulong)view.SequenceId << 24) + (uint)token) << 8) + version) * 64 + (uint)vector) * 0x9E3779B97F4A7C15;
            if (writes)
            {
                memory.Write(place, stamp);
                memory.Write(last, ~stamp);
            }
            else
            {
                isRight &= memory.Read<ulong>(place) == stamp && memory.Read<ulong>(last) == ~stamp;
            }
        }

        return isRight;
    }

    private readonly struct CpuAccess : IKernelMemory
    {
        public T Read<T>(ulong address)
            where T : unmanaged => *(T*)address;

        public void Write<T>(ulong address, T value)
            where T : unmanaged => *(T*)address = value;
    }

    private readonly ref struct SimAccess(SimKernelContext context) : IKernelMemory
    {
        private readonly SimKernelContext _context = context;

        public T Read<T>(ulong address)
            where T : unmanaged => _context.Read<T>(address);

        public void Write<T>(ulong address, T value)
            where T : unmanaged => _context.Write(address, value);
    }
}
