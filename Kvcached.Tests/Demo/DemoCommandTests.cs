using System.CommandLine;
using Kvcached.Daemon;
using Kvcached.Daemon.Demo;
using Xunit;

namespace Kvcached.Tests.Demo;

public class DemoCommandTests
{
    [Theory]
    [InlineData("--seed", "-1", "between 0 and 2147483647")]
    [InlineData("--sequences", "63", "between 64 and 1024")]
    [InlineData("--sequences", "1025", "between 64 and 1024")]
    [InlineData("--models", "3", "between 1 and 2")]
    [InlineData("--processes", "0", "between 1 and 4")]
    [InlineData("--processes", "5", "between 1 and 4")]
    [InlineData("--generate", "193", "between 48 and 192")]
    public void A_size_out_of_range_is_named_with_its_limits(string option, string value, string limits)
    {
        var error = Assert.Single(DemoCommand.Create().Parse([option, value]).Errors);
        Assert.Contains($"{option} is {value}", error.Message, StringComparison.Ordinal);
        Assert.Contains(limits, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_number_or_no_option_is_an_error()
    {
        Assert.NotEmpty(DemoCommand.Create().Parse(["--seed", "many"]).Errors);
        Assert.NotEmpty(DemoCommand.Create().Parse(["--pools", "2"]).Errors);
        Assert.Empty(DemoCommand.Create().Parse(["--contiguous-windows", "--json"]).Errors);
        Assert.Empty(DemoCommand.Create().Parse(["--seed", "2", "--sequences", "64", "--generate", "48", "--json"]).Errors);
    }

    [Theory]
    [InlineData("--pool", "2MiB..1MiB", "--pool: 1MiB; it must be a multiple of 2MiB")]
    [InlineData("--pool", "8MiB..4MiB", "--pool: 8MiB..4MiB; the floor must not be above the ceiling")]
    [InlineData("--pool", "large", "'large' is not a size")]
    public void A_pool_that_cannot_be_is_an_error(string option, string value, string message) =>
        Assert.Contains(message, Assert.Single(DemoCommand.Create().Parse([option, value]).Errors).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("--models", "2")]
    [InlineData("--pool", "64MiB")]
    [InlineData("--contiguous-windows")]
    public void Processes_have_models_and_a_pool_of_their_own(params string[] others)
    {
        var invocation = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
        var error = Assert.Throws<UsageException>(() => DemoCommand.Create().Parse(["--processes", "2", .. others]).Invoke(invocation));
        Assert.Contains("leave --pool, --models and --contiguous-windows out", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_empty_file_is_named()
    {
        var path = Path.GetTempFileName();
        try
        {
            var error = Assert.Throws<UsageException>(() => DemoText.Read(path));
            Assert.Contains("has 0 bytes", error.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void The_program_carries_the_documents_that_prompts_are_cut_from() => Assert.True(DemoText.Documents().Length > 1000);
}
