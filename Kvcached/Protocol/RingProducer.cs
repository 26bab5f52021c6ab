namespace Kvcached.Protocol;

/// <summary>
/// Writes records into a ring (<see cref="RingLayout"/>) that another process reads. One thread at a time; allocates nothing, and never waits.
/// <code>
///   producer                                     consumer
///     head (acquire): is there room?               tail (acquire): is there a record?
///     write the record, padding before it          copy it
///     tail = behind it (release)                   head = behind it (release)
/// </code>
/// The producer's own tail is kept in private memory too and only written to the ring's: what the other side does to a word that it can write never moves it.
/// </summary>
/// <param name="data">The ring's bytes, aligned to 8, in memory that the producer writes.</param>
/// <param name="capacity">How many: a power of two.</param>
/// <param name="tail">Written by the producer.</param>
/// <param name="head">Written by the consumer, who may be hostile.</param>
internal sealed unsafe class RingProducer(byte* data, int capacity, ulong* tail, ulong* head)
{
    private ulong _tail;
    private ulong _head;
    private int _reserved;

    /// <summary>Why the last <see cref="TryReserve"/> said <see cref="RingStatus.Corrupt"/>.</summary>
    internal RingFault Fault { get; private set; }

    /// <summary>Makes room for a record, which the consumer does not see before <see cref="Publish"/>. What was reserved and not published is forgotten.</summary>
    /// <param name="kind">Says what the body is; not 0.</param>
    /// <param name="bytes">Of the body: at most <see cref="RingLayout.MostBody"/>. The consumer sees it rounded up to a multiple of 8, with zeros.</param>
    /// <param name="body">Where to write the body, if this is <see cref="RingStatus.Ok"/>. What it holds is undefined.</param>
    /// <returns><see cref="RingStatus.Full"/> where there is no room yet; <see cref="RingStatus.Corrupt"/>, from then on, where the consumer's head is not possible.</returns>
    internal RingStatus TryReserve(uint kind, int bytes, out Span<byte> body)
    {
        ArgumentOutOfRangeException.ThrowIfZero(kind);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, RingLayout.MostBody(capacity));
        body = default;
        _reserved = 0;
        var record = RingLayout.RecordBytes(bytes);
        var offset = (int)(_tail & (ulong)(capacity - 1));
        var padding = record > capacity - offset ? capacity - offset : 0;
        if (Free() < padding + record)
        {
            LookAtHead();
            if (Fault != RingFault.None)
            {
                return RingStatus.Corrupt;
            }

            if (Free() < padding + record)
            {
                return RingStatus.Full;
            }
        }

        if (padding > 0)
        {
            WriteHeader(offset, padding, RingLayout.Padding);
            offset = 0;
        }

        // What rounds the body up is zero. Where there is no body, the last word is the header.
        *(ulong*)(data + offset + record - RingLayout.Alignment) = 0;
        WriteHeader(offset, record, kind);
        body = new Span<byte>(data + offset + RingLayout.HeaderBytes, bytes);
        _reserved = padding + record;
        return RingStatus.Ok;
    }

    /// <summary>Shows the consumer the record that was reserved last. Ring its bell afterwards.</summary>
    internal void Publish()
    {
        if (_reserved == 0)
        {
            throw new InvalidOperationException("No record has been reserved.");
        }

        _tail += (ulong)_reserved;
        _reserved = 0;
        Volatile.Write(ref *tail, _tail);
    }

    private int Free() => capacity - (int)(_tail - _head);

    private void LookAtHead()
    {
        var seen = Volatile.Read(ref *head);
        if (Fault == RingFault.None && _tail - seen <= (ulong)capacity)
        {
            _head = seen;
        }
        else
        {
            Fault = RingFault.Head;
        }
    }

    private void WriteHeader(int offset, int bytes, uint kind) => *(ulong*)(data + offset) = (uint)bytes | (ulong)kind << 32;
}
