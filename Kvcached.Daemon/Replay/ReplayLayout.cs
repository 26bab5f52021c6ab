using System.Globalization;

namespace Kvcached.Daemon.Replay;

/// <summary>
/// Bytes per token and tokens per block, written <c>1KiBx16</c> or <c>1KiB x16</c>. A token is a whole number of granules, so that each
/// granule belongs to one token and can carry its stamp.
/// </summary>
internal readonly record struct ReplayLayout(int TokenBytes, int TokensPerBlock)
{
    /// <summary>1 KiB a token, 16-token blocks.</summary>
    public static readonly ReplayLayout Default = new(1024, 16);

    private const int GranuleBytes = Kernels.KvShape.GranuleBytes;
    private const int MaxTokenBytes = 256 * 1024;
    private const int MaxTokensPerBlock = 1024;

    /// <summary>Granules of a token.</summary>
    public int GranulesPerToken => TokenBytes / GranuleBytes;

    /// <summary>Bytes of a block.</summary>
    public long BlockBytes => (long)TokenBytes * TokensPerBlock;

    /// <summary>Blocks of that many tokens.</summary>
    public long Blocks(long tokens) => (tokens + TokensPerBlock - 1) / TokensPerBlock;

    /// <summary>Reads a layout.</summary>
    /// <exception cref="UsageException">The text is no layout, or one outside the limits.</exception>
    public static ReplayLayout Parse(string text)
    {
        var cross = text.LastIndexOf('x');
        if (cross < 0 || !int.TryParse(text.AsSpan(cross + 1).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var tokens))
        {
            throw new UsageException($"'{text}' is not a layout: write bytes per token and tokens per block, such as 1KiBx16.");
        }

        var bytes = SizeParser.Parse(text[..cross]);
        if (bytes is < GranuleBytes or > MaxTokenBytes || bytes % GranuleBytes != 0)
        {
            throw new UsageException($"--layout: {bytes} bytes per token; it must be a multiple of {GranuleBytes}, at most {MaxTokenBytes}.");
        }

        if (tokens > MaxTokensPerBlock || !int.IsPow2(tokens))
        {
            throw new UsageException($"--layout: {tokens} tokens per block; it must be a power of two, at most {MaxTokensPerBlock}.");
        }

        return new ReplayLayout((int)bytes, tokens);
    }

    /// <summary>The layout as the cache knows it: one plane of 8-bit elements, a head for each granule, so that a token's bytes lie together.</summary>
    public KvLayout ToKvLayout() => new()
    {
        Planes = 1,
        Layers = 1,
        Heads = GranulesPerToken,
        HeadDim = GranuleBytes,
        ElementType = KvElementType.Byte,
        TokensPerBlock = TokensPerBlock,
        AxisOrder = KvAxisOrder.TokenMajor,
    };

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{SizeParser.Format(TokenBytes)}x{TokensPerBlock}");
}
