using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels;

namespace Kvcached.Devices.Cpu;

/// <summary>
/// One queue's launch in progress, shared with the helpers of the worker team. Lives in memory that does not move, and is used for one
/// launch after another.
/// <code>
///  byte  0                           64                                          128
///        | State: launch:32 item:32  | Run  Arguments  Items  Kernel             | Completed  Finished |
///        | claimed by all            | written by the owner while closed         | counted by helpers  |
/// </code>
/// State names the launch and the next item that nobody has claimed. An item is claimed by compare-and-swap of the whole word, so a
/// claim succeeds only on the launch whose fields were read. Between launches the item is <see cref="Closed"/>, which is below no
/// number of items: nothing can be claimed while the owner writes the fields. The owner closes a launch once all items that others
/// claimed are counted in Completed, so arguments stay valid until the last of them has returned.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Bytes)]
internal unsafe struct KernelLaunch
{
    internal const int Bytes = 256;
    private const uint Closed = uint.MaxValue;

    [FieldOffset(0)]
    private ulong _state;

    [FieldOffset(64)]
    private delegate*<void*, int, int, void> _run;

    [FieldOffset(72)]
    private void* _arguments;

    [FieldOffset(80)]
    private int _items;

    [FieldOffset(84)]
    internal int Kernel;

    /// <summary>Items that helpers have run.</summary>
    [FieldOffset(128)]
    private int _completed;

    /// <summary>Rung by helpers when they have counted items.</summary>
    [FieldOffset(136)]
    internal Doorbell Finished;

    /// <summary>Owner: makes a fresh launch closed.</summary>
    internal void Prepare() => _state = Closed;

    /// <summary>Owner: offers the items of a launch.</summary>
    internal void Open(in CpuKernel kernel, int index, void* arguments, int items)
    {
        _run = kernel.Run;
        _arguments = arguments;
        _items = items;
        Kernel = index;
        _completed = 0;
        Volatile.Write(ref _state, ((_state >> 32) + 1) << 32);
    }

    /// <summary>Owner: nothing can be claimed any more. A full fence: fields written afterwards are not seen by an earlier claim.</summary>
    internal void Close() => Interlocked.Exchange(ref _state, _state | Closed);

    /// <summary>Anyone: claims an item and runs it. False if there is none left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryClaim(out LaunchItem item)
    {
        while (true)
        {
            var state = Volatile.Read(ref _state);
            var next = (uint)state;
            item = new LaunchItem { Run = _run, Arguments = _arguments, Item = (int)next, Kernel = Kernel };
            if (next >= (uint)_items)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _state, state + 1, state) == state)
            {
                return true;
            }
        }
    }

    /// <summary>Helper: counts items that it has run, after which it may not touch their arguments.</summary>
    internal void Complete(int items)
    {
        Interlocked.Add(ref _completed, items);
        Finished.Ring();
    }

    /// <summary>Owner: items that helpers have run (acquire).</summary>
    internal int Completed => Volatile.Read(ref _completed);
}

/// <summary>A claimed item.</summary>
internal unsafe struct LaunchItem
{
    internal delegate*<void*, int, int, void> Run;
    internal void* Arguments;
    internal int Item;
    internal int Kernel;
}
