namespace Kvcached.Devices.Linux;

/// <summary>
/// A 32-bit word in shared memory by which a thread that sleeps on descriptors says what it wants to be called for, so that those who have nothing to say make no
/// system call. It is written by the sleeper alone.
/// <code>
///   the sleeper                                   who has news
///     Ask(bits)      word = bits, full fence        publish the news
///     is there news?  →  Cease                      EventBell.Ring    full fence, word &amp; bits ≠ 0 → write 1 to the eventfd
///     epoll wait
///     Cease          word = 0
/// </code>
/// No call is lost. Of the two fences, one comes first: if the sleeper's does, the other reads its bits, and the write ends the epoll wait or keeps it from sleeping;
/// if the other's does, the sleeper sees the news. The eventfd is watched edge-triggered and never read: each write is an edge.
/// </summary>
internal readonly unsafe struct Attention(uint* word)
{
    /// <summary>Asks to be called. The caller looks for news once more before it sleeps.</summary>
    internal void Ask(uint bits) => Interlocked.Exchange(ref *word, bits);

    /// <summary>Takes that back: the caller is awake, and will look by itself.</summary>
    internal void Cease() => Volatile.Write(ref *word, 0);
}

/// <summary>The other side of <see cref="Attention"/>: no managed references, so that submissions can carry it. The default one never rings.</summary>
internal readonly unsafe struct EventBell(uint* attention, uint bits, int descriptor)
{
    private readonly uint* _attention = attention;
    private readonly uint _bits = bits;
    private readonly int _descriptor = descriptor;

    /// <summary>Whether there is anybody to call.</summary>
    internal bool IsSet => _attention != null;

    /// <summary>Rings, if it is asked for. Never blocks, never throws.</summary>
    internal void Ring()
    {
        if (_attention != null)
        {
            Interlocked.MemoryBarrier();
            if ((Volatile.Read(ref *_attention) & _bits) != 0)
            {
                EventFd.Write(_descriptor);
            }
        }
    }
}
