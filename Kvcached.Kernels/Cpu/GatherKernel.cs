namespace Kvcached.Kernels.Cpu;

/// <summary>Copies the visible blocks of sequences out of the pool into contiguous buffers.</summary>
internal static unsafe class GatherKernel
{
    internal static int Items(void* arguments) => BlockRows.Count((BlockRowsArguments*)arguments);

    internal static void Run(void* arguments, int item, int worker)
    {
        var rows = (BlockRowsArguments*)arguments;
        BlockRows.Locate(rows, item, out var inPool, out var inBuffer);
        Buffer.MemoryCopy(inPool, inBuffer, rows->BlockBytes, rows->BlockBytes);
    }
}
