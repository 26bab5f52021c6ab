using System.Diagnostics;
using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// Flips one bit of cold memory, where it must be noticed: in a block of a live request that has just been evicted, found by its stamps, so
/// that the next step of that request reloads the flipped bit and verifies it.
/// </summary>
internal sealed class ColdBitFlip(ColdMemoryTap tap, KvCache cache, KvLane lane, ReplayLayout layout)
{
    private const int WindowBytes = 64 << 20;
    private const int CandidateBlocks = 4;

    private static readonly TimeSpan CopyLimit = TimeSpan.FromSeconds(10);

    private readonly ulong[] _block = new ulong[layout.BlockBytes / sizeof(ulong)];

    /// <summary>What was flipped, for people; null as long as nothing was.</summary>
    public string? Flipped { get; private set; }

    /// <summary>Whether a request can serve: it will be read again, and its first block has carried one version only, so that one place holds it.</summary>
    public bool CanServe(LiveRequest request) =>
        request.IsLive && request.TruncateAt == 0 && request.Version == 0
        && request.Tokens >= Math.Max(request.Input, layout.TokensPerBlock) && request.Tokens < request.Target;

    /// <summary>Evicts a request and flips a bit of its cold copy. No step may be in flight.</summary>
    /// <returns>False if the request could not be evicted whole, or its copy could not be told from a stale one.</returns>
    public bool TryFlip(LiveRequest request)
    {
        request.Sequence.Evict(lane);
        var deadline = Stopwatch.GetTimestamp() + (long)(CopyLimit.TotalSeconds * Stopwatch.Frequency);
        var fullBlocks = Math.Min(request.Tokens / layout.TokensPerBlock, CandidateBlocks);
        while (Stopwatch.GetTimestamp() < deadline)
        {
            cache.Pump();
            for (var block = 0; block < fullBlocks; block++)
            {
                ExpectBlock(request.SequenceId, block);
                if (CountCopies(out var memory, out var offset) == 1)
                {
                    memory!.HostSpan(offset + (layout.BlockBytes / 3), 1)[0] ^= 0x10;
                    Flipped = $"bit 4 of byte {offset + (layout.BlockBytes / 3)} of cold memory: block {block} of sequence {request.SequenceId}";
                    return true;
                }
            }

            // An application may wait; the copy out is under way.
            Thread.Sleep(1);
        }

        return false;
    }

    private void ExpectBlock(uint sequence, int block)
    {
        var key = Stamp.Key(sequence, 0);
        var word = 0;
        for (var i = 0; i < layout.TokensPerBlock; i++)
        {
            var token = Stamp.Token(key, (uint)((block * layout.TokensPerBlock) + i));
            for (var granule = 0u; granule < layout.GranulesPerToken; granule++)
            {
                for (var k = 0; k < Stamp.WordsPerGranule; k++)
                {
                    _block[word++] = Stamp.Word(Stamp.Granule(token, granule), k);
                }
            }
        }
    }

    private int CountCopies(out DeviceMemory? memory, out long offset)
    {
        (memory, offset) = (null, 0);
        var copies = 0;
        foreach (var cold in tap.Cold)
        {
            for (var start = 0L; start < cold.Bytes; start += WindowBytes)
            {
                var window = MemoryMarshal.Cast<byte, ulong>(cold.HostSpan(start, (int)Math.Min(WindowBytes, cold.Bytes - start)));
                for (var at = 0; at <= window.Length - _block.Length; at += Stamp.WordsPerGranule)
                {
                    if (window[at] == _block[0] && window.Slice(at, _block.Length).SequenceEqual(_block))
                    {
                        (memory, offset) = (cold, start + (at * (long)sizeof(ulong)));
                        copies++;
                    }
                }
            }
        }

        return copies;
    }
}
