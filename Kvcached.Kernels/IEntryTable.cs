namespace Kvcached.Kernels;

/// <summary>
/// Where a kernel reads entries from. Implemented by a struct of the kernel's author (a pointer, a GPU array view), so that the lookup is
/// compiled for it with no indirect call.
/// </summary>
public interface IEntryTable
{
    /// <summary>Reads one entry of the heap.</summary>
    /// <param name="index">Index in the entry heap.</param>
    /// <returns>A block's offset in the pool, in granules.</returns>
    uint Read(uint index);
}
