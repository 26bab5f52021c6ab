namespace Kvcached.Kernels.Cpu;

/// <summary>Fills a range in pieces that several workers share.</summary>
internal static unsafe class FillKernel
{
    internal static int Items(void* arguments) => CopyKernel.Pieces(((FillArguments*)arguments)->Bytes);

    internal static void Run(void* arguments, int item, int worker)
    {
        var fill = (FillArguments*)arguments;
        var offset = (ulong)item * CopyKernel.PieceBytes;
        var bytes = (int)ulong.Min(CopyKernel.PieceBytes, fill->Bytes - offset);
        new Span<byte>((byte*)fill->Target + offset, bytes).Fill((byte)fill->Value);
    }
}
