using Kvcached.Kernels;

namespace Kvcached.Tests.Paged;

/// <summary>A K or a V cache as the outside world knows it: element [page, token, head, i] of a strided tensor.</summary>
internal unsafe struct PagedTensor
{
    public ulong Address;
    public long PageStride;
    public long TokenStride;
    public long HeadStride;
    public ElementFormat Format;

    public readonly float Read(int page, int token, int head, int i)
    {
        var element = IndexOf(page, token, head, i);
        return Format switch
        {
            ElementFormat.Float16 => (float)((Half*)Address)[element],
            ElementFormat.BFloat16 => BitConverter.UInt32BitsToSingle((uint)((ushort*)Address)[element] << 16),
            _ => ((float*)Address)[element],
        };
    }

    public readonly void Write(int page, int token, int head, int i, float value)
    {
        var element = IndexOf(page, token, head, i);
        switch (Format)
        {
            case ElementFormat.Float16:
                ((Half*)Address)[element] = (Half)value;
                break;
            case ElementFormat.BFloat16:
                ((ushort*)Address)[element] = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
                break;
            default:
                ((float*)Address)[element] = value;
                break;
        }
    }

    private readonly long IndexOf(int page, int token, int head, int i) => (page * PageStride) + (token * TokenStride) + (head * HeadStride) + i;
}
