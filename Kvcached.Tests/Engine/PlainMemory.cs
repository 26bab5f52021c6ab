using Kvcached.Devices;

namespace Kvcached.Tests.Engine;

/// <summary>Memory of no device: a size, and bytes that the host sees.</summary>
internal sealed class PlainMemory(string label, long bytes, MemoryKind kind = MemoryKind.Device, MemoryReturn returns = MemoryReturn.AtOnce, long extentBytes = 1) : DeviceMemory(label, kind, bytes)
{
    public override MemoryReturn Returns => returns;

    public override long ExtentBytes => extentBytes;

    private readonly byte[] _bytes = new byte[bytes];

    public override ulong Address => 1 << 20;

    public override Span<byte> HostSpan(long offset, int bytes) => _bytes.AsSpan((int)offset, bytes);

    protected override void DiscardCore(long offset, long bytes) => _bytes.AsSpan((int)offset, (int)bytes).Clear();

    protected override void Dispose(bool disposing)
    {
    }
}
