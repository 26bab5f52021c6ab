using Kvcached.Daemon;
using Xunit;

namespace Kvcached.Tests.Demo;

public class SizeParserTests
{
    [Theory]
    [InlineData("0", 0L)]
    [InlineData("4096", 4096L)]
    [InlineData("12B", 12L)]
    [InlineData("1KiB", 1024L)]
    [InlineData("128MiB", 128L << 20)]
    [InlineData("4GiB", 4L << 30)]
    [InlineData(" 2 gib ", 2L << 30)]
    [InlineData("8388607TiB", 8388607L << 40)]
    public void Reads_a_number_and_a_binary_unit(string text, long bytes) => Assert.Equal(bytes, SizeParser.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1MiB")]
    [InlineData("1.5GiB")]
    [InlineData("128MB")]
    [InlineData("12 apples")]
    public void Names_what_is_not_a_size(string text)
    {
        var error = Assert.Throws<UsageException>(() => SizeParser.Parse(text));
        Assert.Contains($"'{text}'", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("8388608TiB")]
    [InlineData("9223372036854775807KiB")]
    public void Refuses_what_overflows_and_names_the_limit(string text)
    {
        var error = Assert.Throws<UsageException>(() => SizeParser.Parse(text));
        Assert.Contains(long.MaxValue.ToString(System.Globalization.CultureInfo.InvariantCulture), error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0L, "0B")]
    [InlineData(1500L, "1500B")]
    [InlineData(128L << 20, "128MiB")]
    [InlineData(3L << 40, "3TiB")]
    public void Writes_the_largest_unit_that_divides(long bytes, string text)
    {
        Assert.Equal(text, SizeParser.Format(bytes));
        Assert.Equal(bytes, SizeParser.Parse(text));
    }
}
