namespace Kvcached.Protocol;

/// <summary>
/// Reads records from a ring (<see cref="RingLayout"/>) that another process writes, and goes on writing while they are read: each word is read once, a body is copied
/// before anyone looks at it, and nothing outside the ring is touched whatever the words say. The order is that of <see cref="RingProducer"/>. One thread at a time;
/// allocates nothing, and never waits.
/// </summary>
/// <param name="data">The ring's bytes, aligned to 8.</param>
/// <param name="capacity">How many: a power of two.</param>
/// <param name="tail">Written by the producer, who may be hostile.</param>
/// <param name="head">Written by the consumer.</param>
internal sealed unsafe class RingConsumer(byte* data, int capacity, ulong* tail, ulong* head)
{
    private ulong _tail;
    private ulong _head;

    /// <summary>Why <see cref="TryRead"/> said <see cref="RingStatus.Corrupt"/>.</summary>
    internal RingFault Fault { get; private set; }

    /// <summary>Takes the oldest record.</summary>
    /// <param name="privateCopy">Memory of this process alone, for the body.</param>
    /// <param name="kind">What the body is said to be.</param>
    /// <param name="bytes">Of the body, as far as <paramref name="privateCopy"/> has been written: a multiple of 8.</param>
    /// <returns><see cref="RingStatus.Empty"/> where there is none; <see cref="RingStatus.Corrupt"/>, from then on, where what there is cannot be, or is longer than the copy may be.</returns>
    internal RingStatus TryRead(Span<byte> privateCopy, out uint kind, out int bytes)
    {
        (kind, bytes) = (0, 0);
        while (true)
        {
            if (_head == _tail && !LookAtTail())
            {
                return Fault == RingFault.None ? RingStatus.Empty : RingStatus.Corrupt;
            }

            var offset = (int)(_head & (ulong)(capacity - 1));
            var header = Volatile.Read(ref *(ulong*)(data + offset));
            var record = (uint)header;
            kind = (uint)(header >> 32);
            if (record < RingLayout.HeaderBytes || record % RingLayout.Alignment != 0 || record > _tail - _head || record > capacity - offset)
            {
                return Fail(RingFault.Length);
            }

            if (kind != RingLayout.Padding)
            {
                if (record - RingLayout.HeaderBytes > (uint)privateCopy.Length)
                {
                    return Fail(RingFault.TooLong);
                }

                bytes = (int)record - RingLayout.HeaderBytes;
                new ReadOnlySpan<byte>(data + offset + RingLayout.HeaderBytes, bytes).CopyTo(privateCopy);
                Pass(record);
                return RingStatus.Ok;
            }

            // A record follows at the ring's beginning: padding is no way to say nothing for ever.
            if (record != capacity - offset || offset == 0 || record == _tail - _head)
            {
                return Fail(RingFault.Padding);
            }

            Pass(record);
        }
    }

    private void Pass(uint record)
    {
        _head += record;
        Volatile.Write(ref *head, _head);
    }

    /// <summary>Whether there is something to read.</summary>
    private bool LookAtTail()
    {
        if (Fault == RingFault.None)
        {
            var seen = Volatile.Read(ref *tail);
            var ahead = seen - _head;
            if (ahead > (ulong)capacity || ahead % RingLayout.Alignment != 0)
            {
                Fault = RingFault.Tail;
            }
            else
            {
                _tail = seen;
            }
        }

        return Fault == RingFault.None && _head != _tail;
    }

    private RingStatus Fail(RingFault fault)
    {
        // Nothing more is read.
        (Fault, _tail) = (fault, _head);
        return RingStatus.Corrupt;
    }
}

/// <summary>What came of reading or writing a ring.</summary>
internal enum RingStatus
{
    /// <summary>A record was read, or there is room for one.</summary>
    Ok,

    /// <summary>There is no record.</summary>
    Empty,

    /// <summary>There is no room.</summary>
    Full,

    /// <summary>The other side has broken the protocol.</summary>
    Corrupt,
}

/// <summary>How the other side of a ring has broken the protocol.</summary>
internal enum RingFault
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>The consumer's head is past the tail, or further behind it than the ring is long.</summary>
    Head,

    /// <summary>The producer's tail is behind the head, further ahead than the ring is long, or in the middle of a record.</summary>
    Tail,

    /// <summary>A record's length is none that a record can have there.</summary>
    Length,

    /// <summary>Padding where none belongs.</summary>
    Padding,

    /// <summary>A record is longer than any that the reader knows.</summary>
    TooLong,
}
