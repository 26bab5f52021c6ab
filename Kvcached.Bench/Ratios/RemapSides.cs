using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Linux;
using Kvcached.Kernels;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// 64 blocks of 64 KiB appear at new places and a kernel reads a word of each, 32 times back to back: two sequences get 64 other blocks
/// in turn, through engine, publish queue and table (A); the cheaper of <c>munmap</c> and <c>mmap</c>, and <c>MAP_FIXED</c>, over shared memory whose pages
/// exist (B). Microseconds a remap.
/// </summary>
internal sealed unsafe class RemapSides : RatioSides
{
    private const int Blocks = 64;
    private const int BlockBytes = 64 << 10;
    private const int Remaps = 32;
    private const int FileBlocks = 4 * Blocks;
    private const int MapFixed = 0x10;

    /// <summary>What another thread has mapped in between is not mapped over.</summary>
    private const int MapFixedNoReplace = 0x100000;
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(1);
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1, Kernels = [new CpuKernel("ratios.touch", &TouchItems, &Touch)] });
    private readonly KvCache _cache;
    private readonly KvModel _model;
    private readonly KvLane _lane;
    private readonly KvSequence[] _sequences;
    private readonly DeviceQueue _queue;
    private readonly DeviceKernel _kernel;
    private readonly CommandList _commands = new();
    private readonly SafeFileHandle _file;
    private readonly byte* _mapped;
    private ulong _wordSum;
    private int _shift;

    public RemapSides()
    {
        _cache = KvCache.OpenEmbedded(_device, new KvCacheOptions { PoolBytes = FileBlocks * (long)BlockBytes, ColdBytes = 0 });
        _model = _cache.RegisterModel("remap", PaperEngine.Layout);
        _lane = _cache.OpenLane(new KvLaneOptions { Depth = Remaps, MaxBatch = 1, MaxLayouts = 1 });
        _sequences = [_model.CreateSequence(), _model.CreateSequence()];
        _queue = _device.CreateQueue("client");
        _kernel = _device.LoadKernel("ratios.touch");
        _file = new SafeFileHandle(LibC.MemfdCreate("remap", LibC.MfdCloexec), ownsHandle: true);
        Check(LibC.Ftruncate(_file, FileBlocks * (long)BlockBytes));
        var all = (byte*)Map(0, FileBlocks * (nuint)BlockBytes, LibC.MapShared, 0);
        new Span<byte>(all, FileBlocks * BlockBytes).Fill(1);
        Check(LibC.Munmap((nint)all, FileBlocks * (nuint)BlockBytes));
        _mapped = (byte*)Map(0, Blocks * (nuint)BlockBytes, LibC.MapShared, 0);
    }

    public override bool IsPinned => false;

    public override double RunA()
    {
        var start = Stopwatch.GetTimestamp();
        KvStep step = default;
        for (var remap = 0; remap < Remaps; remap++)
        {
            // What was read last is still held, so these are other blocks. Then it goes back, with the step that reads it as frontier.
            step = _lane.Begin([new KvStepItem(_sequences[remap % 2], Blocks << (int)_model.Shape().TokensPerBlockShift)]);
            _sequences[(remap + 1) % 2].Truncate(0);
            _commands.Launch(_kernel, new TouchArguments { Views = step.ViewsAddress(), Entries = _cache.EntriesAddress, Pool = _cache.PoolAddress });
            _queue.Submit([new WaitPoint(step.Begin.Timeline, step.Begin.Value)], _commands, step.End);
            _commands.Clear();
        }

        if (step.Status != KvStepStatus.Accepted || !_cache.Wait(step.End, _limit))
        {
            throw new InvalidOperationException($"The last of {Remaps} remaps is {_lane.StatusOf(step.Number)}.");
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Remaps;
    }

    public override double RunB() => Math.Min(RunMaps(unmapFirst: true), RunMaps(unmapFirst: false));

    protected override void Dispose(bool disposing)
    {
        Check(LibC.Munmap((nint)_mapped, Blocks * (nuint)BlockBytes));
        _file.Dispose();
        _queue.Dispose();
        _cache.Dispose();
        _device.Dispose();
        base.Dispose(disposing);
    }

    private static int TouchItems(void* arguments) => 1;

    private static void Touch(void* blob, int item, int worker)
    {
        var arguments = (TouchArguments*)blob;
        var view = *(SequenceView*)arguments->Views;
        if (view.BlockCount != Blocks)
        {
            throw new InvalidOperationException($"A view of {view.BlockCount} blocks, not {Blocks}.");
        }

        var entries = (uint*)arguments->Entries + view.RowStart;
        var (sum, stayed) = (0UL, 0);
        for (var i = 0u; i < view.BlockCount; i++)
        {
            stayed += _entries[i] == entries[i] ? 1 : 0;
            _entries[i] = entries[i];
            sum += *(ulong*)(arguments->Pool + ((ulong)entries[i] * KvShape.GranuleBytes));
        }

        if (stayed > 0)
        {
            throw new InvalidOperationException($"{stayed} blocks lie where they lay before.");
        }

        Volatile.Write(ref _touched, sum);
    }

    // Where the blocks were last. Kernels run one after the other.
    private static readonly uint[] _entries = [.. Enumerable.Repeat(uint.MaxValue, Blocks)];

    // Keeps the kernel's reads from being compiled away.
    private static ulong _touched;

    private double RunMaps(bool unmapFirst)
    {
        var start = Stopwatch.GetTimestamp();
        for (var remap = 0; remap < Remaps; remap++)
        {
            _shift = (_shift + 1) % FileBlocks;
            for (var i = 0; i < Blocks; i++)
            {
                // Apart from one another in the file, so that no two become one mapping.
                var address = (nint)_mapped + (i * BlockBytes);
                if (unmapFirst)
                {
                    Check(LibC.Munmap(address, BlockBytes));
                }

                Map(address, BlockBytes, LibC.MapShared | (unmapFirst ? MapFixedNoReplace : MapFixed), (((i * 3) + _shift) % FileBlocks) * (long)BlockBytes);
            }

            for (var i = 0; i < Blocks; i++)
            {
                _wordSum += *(ulong*)(_mapped + (i * BlockBytes));
            }
        }

        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Remaps;
    }

    private nint Map(nint address, nuint bytes, int flags, long offset)
    {
        var mapped = LibC.Mmap(address, bytes, LibC.ProtRead | LibC.ProtWrite, flags, _file, offset);
        Check(mapped == -1 ? -1 : 0);
        return mapped;
    }

    private static void Check(int result)
    {
        if (result < 0)
        {
            throw new Win32Exception(Marshal.GetLastPInvokeError());
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TouchArguments
    {
        public ulong Views;
        public ulong Entries;
        public ulong Pool;
    }
}
