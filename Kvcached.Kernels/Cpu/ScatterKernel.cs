namespace Kvcached.Kernels.Cpu;

/// <summary>Copies contiguous buffers into the visible blocks of sequences.</summary>
internal static unsafe class ScatterKernel
{
    internal static int Items(void* arguments) => BlockRows.Count((BlockRowsArguments*)arguments);

    internal static void Run(void* arguments, int item, int worker)
    {
        var rows = (BlockRowsArguments*)arguments;
        BlockRows.Locate(rows, item, out var inPool, out var inBuffer);
        Buffer.MemoryCopy(inBuffer, inPool, rows->BlockBytes, rows->BlockBytes);
    }
}
