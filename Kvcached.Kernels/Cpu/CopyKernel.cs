namespace Kvcached.Kernels.Cpu;

/// <summary>Copies a range in pieces that several workers share.</summary>
internal static unsafe class CopyKernel
{
    /// <summary>Large enough to hide what handing out an item costs, small enough to balance.</summary>
    internal const ulong PieceBytes = 256 * 1024;

    internal static int Items(void* arguments) => Pieces(((CopyArguments*)arguments)->Bytes);

    internal static void Run(void* arguments, int item, int worker)
    {
        var copy = (CopyArguments*)arguments;
        var offset = (ulong)item * PieceBytes;
        var bytes = ulong.Min(PieceBytes, copy->Bytes - offset);
        Buffer.MemoryCopy((byte*)copy->Source + offset, (byte*)copy->Target + offset, bytes, bytes);
    }

    internal static int Pieces(ulong bytes) => (int)((bytes + PieceBytes - 1) / PieceBytes);
}
