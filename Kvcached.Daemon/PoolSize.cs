using System.CommandLine;
using System.CommandLine.Parsing;

namespace Kvcached.Daemon;

/// <summary>
/// Between what sizes a pool grows and shrinks at run time, as <c>--pool</c> names them: <c>64MiB..256MiB</c>, or one size for a pool that keeps it.
/// </summary>
internal readonly record struct PoolSize(long FloorBytes, long CeilingBytes)
{
    private const string Separator = "..";

    /// <summary>Whether the pool gives memory back.</summary>
    public bool IsElastic => FloorBytes < CeilingBytes;

    /// <summary>A pool that keeps its size.</summary>
    public static PoolSize Fixed(long bytes) => new(bytes, bytes);

    /// <summary>Reads <c>FLOOR..CEILING</c>, or a size that is both.</summary>
    /// <exception cref="UsageException">A side is no size, or they are out of range or in the wrong order; the message names them and the limits.</exception>
    public static PoolSize Parse(string text)
    {
        var separator = text.IndexOf(Separator, StringComparison.Ordinal);
        var size = separator < 0
            ? Fixed(SizeParser.Parse(text))
            : new PoolSize(SizeParser.Parse(text[..separator]), SizeParser.Parse(text[(separator + Separator.Length)..]));
        size.Validate();
        return size;
    }

    /// <summary>Checks both sizes.</summary>
    /// <exception cref="UsageException">One is out of range; the message names it and the limits.</exception>
    public void Validate()
    {
        Check(FloorBytes);
        Check(CeilingBytes);
        if (FloorBytes > CeilingBytes)
        {
            throw new UsageException($"--pool: {this}; the floor must not be above the ceiling.");
        }
    }

    public override string ToString() => IsElastic || FloorBytes > CeilingBytes
        ? SizeParser.Format(FloorBytes) + Separator + SizeParser.Format(CeilingBytes)
        : SizeParser.Format(CeilingBytes);

    /// <summary>The option <c>--pool</c>; null where it is not given.</summary>
    public static Option<PoolSize?> Option(string description) => new("--pool")
    {
        Description = description,
        HelpName = "floor..ceiling",
        CustomParser = Read,
    };

    private static void Check(long bytes)
    {
        if (bytes < KvCacheOptions.UnitBytes || bytes > KvCacheOptions.MaxPoolBytes || bytes % KvCacheOptions.UnitBytes != 0)
        {
            throw new UsageException($"--pool: {SizeParser.Format(bytes)}; it must be a multiple of {SizeParser.Format(KvCacheOptions.UnitBytes)}, at least {SizeParser.Format(KvCacheOptions.UnitBytes)} and at most {SizeParser.Format(KvCacheOptions.MaxPoolBytes)}.");
        }
    }

    private static PoolSize? Read(ArgumentResult result)
    {
        try
        {
            return Parse(result.Tokens[0].Value);
        }
        catch (UsageException error)
        {
            result.AddError(error.Message);
            return null;
        }
    }
}
