namespace Kvcached.Kernels.Cpu;

/// <summary>The entry heap at an address that the host can read.</summary>
internal readonly unsafe struct EntryHeap(ulong address) : IEntryTable
{
    private readonly uint* _entries = (uint*)address;

    public uint Read(uint index) => _entries[index];
}
