using System.Runtime.InteropServices;

namespace Kvcached.Devices.Host;

/// <summary>
/// Hands submission records from one producer to one consumer. Never full, never blocks, and in steady use allocates nothing.
/// <code>
///   _oldest ──→ chunk ──→ chunk ──→ chunk ──→ chunk
///               free      ↑ _readChunk        ↑ _writeChunk
/// </code>
/// The producer writes a record behind the last one and then makes it visible by raising <c>_published</c> (release); the consumer
/// reads records below <c>_published</c> (acquire), in order. When the consumer leaves a chunk it says so by <c>_readChunk</c> (release),
/// and the producer takes the chunks from <c>_oldest</c> up to there for reuse.
/// <para>
/// A consumer that starts records long before it is done with them looks ahead: a second cursor, of the thread that starts them, runs before the first, which whoever is
/// done with them moves, one thread at a time, and only over what has been started.
/// </para>
/// </summary>
internal sealed unsafe class SubmissionChain
{
    private const int ChunkBytes = 64 * 1024;

    // Producer's.
    private Chunk* _oldest;
    private Chunk* _writeChunk;
    private int _writeOffset;

    // Consumer's; _readChunk is read by the producer.
    private nint _readChunk;
    private int _readOffset;
    private long _consumed;

    // The cursor ahead.
    private Chunk* _aheadChunk;
    private int _aheadOffset;
    private long _started;

    private long _published;

    internal SubmissionChain()
    {
        _oldest = _writeChunk = AllocateChunk(ChunkBytes);
        _readChunk = (nint)_writeChunk;
        _aheadChunk = _writeChunk;
    }

    /// <summary>Records handed over so far.</summary>
    internal long Published => Volatile.Read(ref _published);

    /// <summary>Records that are done with.</summary>
    internal long Consumed => Volatile.Read(ref _consumed);

    /// <summary>Records that have been started.</summary>
    internal long Started => Volatile.Read(ref _started);

    /// <summary>Producer: whether all records that were handed over are done with.</summary>
    internal bool IsEmpty => _published == Volatile.Read(ref _consumed);

    /// <summary>Producer: room for a record, 16-byte aligned, which the consumer does not see before <see cref="Publish"/>.</summary>
    internal SubmissionRecord* Reserve(int bytes)
    {
        // A header's worth stays free at the end of each chunk, for the mark that says "next chunk".
        if (_writeChunk->Capacity - _writeOffset - SubmissionRecord.HeaderBytes < bytes)
        {
            var next = TakeChunk(checked(bytes + SubmissionRecord.HeaderBytes));
            At(_writeChunk, _writeOffset)->Bytes = 0;
            _writeChunk->Next = next;
            _writeChunk = next;
            _writeOffset = 0;
        }

        return At(_writeChunk, _writeOffset);
    }

    /// <summary>Producer: hands over the record last reserved.</summary>
    internal void Publish(int bytes)
    {
        At(_writeChunk, _writeOffset)->Bytes = bytes;
        _writeOffset += bytes;
        Volatile.Write(ref _published, _published + 1);
    }

    /// <summary>Consumer: the oldest record that was not advanced past; null if there is none.</summary>
    internal SubmissionRecord* Peek()
    {
        if (Volatile.Read(ref _published) == _consumed)
        {
            return null;
        }

        var record = At((Chunk*)_readChunk, _readOffset);
        while (record->Bytes == 0)
        {
            Volatile.Write(ref _readChunk, (nint)((Chunk*)_readChunk)->Next);
            _readOffset = 0;
            record = At((Chunk*)_readChunk, 0);
        }

        return record;
    }

    /// <summary>Consumer: done with the record last peeked at; its memory may be reused.</summary>
    internal void Advance()
    {
        _readOffset += At((Chunk*)_readChunk, _readOffset)->Bytes;
        Volatile.Write(ref _consumed, _consumed + 1);
    }

    /// <summary>Who starts records: the oldest that was not started; null if there is none.</summary>
    internal SubmissionRecord* PeekAhead()
    {
        if (Volatile.Read(ref _published) == _started)
        {
            return null;
        }

        var record = At(_aheadChunk, _aheadOffset);
        while (record->Bytes == 0)
        {
            _aheadChunk = _aheadChunk->Next;
            _aheadOffset = 0;
            record = At(_aheadChunk, 0);
        }

        return record;
    }

    /// <summary>Who starts records: the one last peeked at is started, and may be done with any time from now on.</summary>
    internal void Start()
    {
        _aheadOffset += At(_aheadChunk, _aheadOffset)->Bytes;
        Volatile.Write(ref _started, _started + 1);
    }

    /// <summary>Frees everything. Neither side may use the chain any more.</summary>
    internal void Free()
    {
        for (var chunk = _oldest; chunk != null;)
        {
            var next = chunk->Next;
            NativeMemory.AlignedFree(chunk);
            chunk = next;
        }

        _oldest = _writeChunk = null;
    }

    private static SubmissionRecord* At(Chunk* chunk, int offset) => (SubmissionRecord*)((byte*)(chunk + 1) + offset);

    private Chunk* TakeChunk(int bytes)
    {
        while ((nint)_oldest != Volatile.Read(ref _readChunk))
        {
            var chunk = _oldest;
            _oldest = chunk->Next;
            if (chunk->Capacity >= bytes)
            {
                chunk->Next = null;
                return chunk;
            }

            NativeMemory.AlignedFree(chunk);
        }

        return AllocateChunk(Math.Max(ChunkBytes, bytes));
    }

    private static Chunk* AllocateChunk(int bytes)
    {
        var chunk = (Chunk*)NativeMemory.AlignedAlloc(checked((nuint)bytes + (nuint)sizeof(Chunk)), 64);
        chunk->Next = null;
        chunk->Capacity = bytes;
        return chunk;
    }

    [StructLayout(LayoutKind.Sequential, Size = 64)]
    private struct Chunk
    {
        internal Chunk* Next;
        internal int Capacity;
    }
}
