using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>
/// Sleeping until one of many descriptors has news. Edge-triggered: each write to a descriptor is told once, and what it holds need not be read. Waiting allocates
/// nothing. <see cref="Wait"/> is one thread's; descriptors may be added and removed by any.
/// </summary>
internal sealed unsafe class Epoll : IDisposable
{
    /// <summary>What is watched for: something to read, or the other end's closing.</summary>
    internal const uint Readable = 0x001 | 0x2000;

    /// <summary>Always told: an error, or that the other end is gone.</summary>
    internal const uint Gone = 0x008 | 0x010;

    private const uint EdgeTriggered = 1u << 31;

    /// <summary>
    /// struct epoll_event: 32 bits of events, then 64 bits of the caller's own. The kernel packs it on x86-64 alone.
    /// <code>
    ///  byte  0        4       12        16
    ///        | events | token |                x86-64
    ///        | events | (pad) | token (8..16)  others
    /// </code>
    /// </summary>
    internal static readonly int EventBytes = IsPacked ? 12 : 16;

    private readonly SafeFileHandle _descriptor;
    private readonly byte[] _events;
    private readonly int _most;

    /// <summary>Creates one that tells of at most <paramref name="most"/> descriptors at a time.</summary>
    internal Epoll(int most)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(most);
        var number = LibC.EpollCreate(LibC.EpollCloexec);
        _descriptor = number == -1 ? throw LibC.Failure("epoll_create1") : new SafeFileHandle(number, ownsHandle: true);
        _events = GC.AllocateArray<byte>(most * EventBytes, pinned: true);
        _most = most;
    }

    private static bool IsPacked => RuntimeInformation.ProcessArchitecture == Architecture.X64;

    private static int TokenOffset => IsPacked ? 4 : 8;

    /// <summary>Watches a descriptor; what it holds already is told, too. It is forgotten when its last copy, in any process, is closed: remove it before.</summary>
    /// <param name="descriptor">What to watch.</param>
    /// <param name="token">What <see cref="TokenAt"/> says of it.</param>
    /// <exception cref="System.ComponentModel.Win32Exception">The kernel refuses; a file on disk has no news, for one.</exception>
    internal void Add(SafeHandle descriptor, ulong token)
    {
        var watched = stackalloc byte[EventBytes];
        Unsafe.WriteUnaligned(watched, Readable | EdgeTriggered);
        Unsafe.WriteUnaligned(watched + TokenOffset, token);
        if (LibC.EpollControl(_descriptor, LibC.EpollAdd, descriptor, watched) == -1)
        {
            throw LibC.Failure("epoll_ctl");
        }
    }

    /// <summary>Watches a descriptor no more.</summary>
    internal void Remove(SafeHandle descriptor)
    {
        if (LibC.EpollControl(_descriptor, LibC.EpollDelete, descriptor, null) == -1)
        {
            throw LibC.Failure("epoll_ctl");
        }
    }

    /// <summary>Sleeps until there is news, or the time is up (in whole milliseconds, rounded up; null: without limit).</summary>
    /// <returns>How many descriptors have news; may be 0 at any time.</returns>
    internal int Wait(TimeSpan? timeout)
    {
        var milliseconds = timeout is { } span ? (int)Math.Clamp(Math.Ceiling(span.TotalMilliseconds), 0, int.MaxValue) : -1;
        var count = LibC.EpollWait(_descriptor, Unsafe.AsPointer(ref _events[0]), _most, milliseconds);
        if (count != -1)
        {
            return count;
        }

        return Marshal.GetLastPInvokeError() == LibC.Eintr ? 0 : throw LibC.Failure("epoll_wait");
    }

    /// <summary>Whose news it is.</summary>
    internal ulong TokenAt(int index) => Unsafe.ReadUnaligned<ulong>(ref _events[(index * EventBytes) + TokenOffset]);

    /// <summary>What the news is: bits of <see cref="Readable"/> and <see cref="Gone"/>.</summary>
    internal uint EventsAt(int index) => Unsafe.ReadUnaligned<uint>(ref _events[index * EventBytes]);

    /// <summary>Watches nothing any more.</summary>
    public void Dispose() => _descriptor.Dispose();
}
