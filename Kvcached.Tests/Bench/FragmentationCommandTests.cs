using Kvcached.Bench.Fragmentation;
using Xunit;

namespace Kvcached.Tests.Bench;

public class FragmentationCommandTests
{
    [Fact]
    public void A_plot_is_checked_before_anything_runs_and_what_there_is_of_it_stays()
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "of before");
            var errors = new StringWriter();
            Assert.True(FragmentationCommand.CanWrite(file, errors));
            Assert.True(FragmentationCommand.CanWrite(null, errors));
            Assert.Equal((string.Empty, "of before"), (errors.ToString(), File.ReadAllText(file)));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("/nowhere/day.svg")]
    public void A_plot_that_cannot_be_written_is_told(string file)
    {
        var errors = new StringWriter();
        Assert.False(FragmentationCommand.CanWrite(file, errors));
        Assert.StartsWith($"--plot {file}: ", errors.ToString(), StringComparison.Ordinal);
    }
}
