using System.Globalization;

namespace Kvcached.Daemon;

/// <summary>Reads and writes sizes as <c>128MiB</c>, <c>4GiB</c>, <c>4096</c>: a whole number and a binary unit.</summary>
internal static class SizeParser
{
    private static readonly (string Unit, int Shift)[] Units =
        [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

    /// <summary>Reads a size.</summary>
    /// <exception cref="UsageException">The text is no size, or is above 2^63 − 1 bytes.</exception>
    public static long Parse(string text)
    {
        var trimmed = text.Trim();
        var shift = 0;
        var digits = trimmed.AsSpan();
        foreach (var (unit, unitShift) in Units)
        {
            if (trimmed.EndsWith(unit, StringComparison.OrdinalIgnoreCase))
            {
                shift = unitShift;
                digits = digits[..^unit.Length].TrimEnd();
                break;
            }
        }

        if (!long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            throw new UsageException($"'{text}' is not a size: write a whole number and a unit, such as 128MiB or 4GiB.");
        }

        if (count > long.MaxValue >> shift)
        {
            throw new UsageException($"'{text}' is too large: the limit is {long.MaxValue} bytes.");
        }

        return count << shift;
    }

    /// <summary>Writes a size in the largest unit that divides it.</summary>
    public static string Format(long bytes)
    {
        foreach (var (unit, shift) in Units)
        {
            if (bytes != 0 && bytes % (1L << shift) == 0)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{bytes >> shift}{unit}");
            }
        }

        return "0B";
    }
}
