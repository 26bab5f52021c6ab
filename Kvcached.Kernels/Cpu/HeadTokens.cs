using System.Runtime.CompilerServices;

namespace Kvcached.Kernels.Cpu;

/// <summary>The planes that attention reads.</summary>
internal enum KvPlane
{
    Key = 0,
    Value = 1,
}

/// <summary>Where the keys and values of one sequence's tokens lie for one KV head.</summary>
internal readonly unsafe struct HeadTokens<TSource>(KvBatch* kv, TSource source, int head)
    where TSource : struct, ITokenSource<TSource>
{
    private readonly TSource _source = source;
    private readonly nuint _key = (nuint)head * kv->Shape.HeadStride;

    /// <summary>Bytes from a token to the next of its run.</summary>
    internal nint Stride { get; } = (nint)kv->Shape.TokenStride;

    /// <summary>Bytes from a token's key to its value.</summary>
    internal nint ToValues { get; } = (nint)kv->Shape.PlaneStride;

    /// <summary>Tokens from each multiple of so many on follow one another at <see cref="Stride"/>.</summary>
    internal int Run { get; } = (int)kv->Shape.TokensPerBlock;

    /// <summary>The address of a token's elements, and how many tokens from it on follow at <see cref="Stride"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal byte* Locate(KvPlane plane, int token, out int run) => _source.Locate(token, out run) + _key + (plane == KvPlane.Key ? 0 : ToValues);
}
