using Kvcached.Bench.Ratios;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Decoding while other sequences of the same cache are cleaned, dropped and reloaded without pause on another lane (A), and at rest (B), on a GPU.</summary>
internal sealed class GpuDecodeBesideSides(GpuRig rig) : DecodeUnderChurnSides(
    new BorrowedDevice(rig.Device),
    new DecodeLoad(Sequences: 8, Tokens: 8192, Steps: 16) { IsPinned = false },
    poolBytes: 2L << 30);
