using Kvcached.Daemon.Replay;
using Xunit;

namespace Kvcached.Tests.Replay;

public sealed class TraceReaderTests : IDisposable
{
    private const string AzureHeader = "TIMESTAMP,ContextTokens,GeneratedTokens";

    private readonly string _path = Path.GetTempFileName();

    [Fact]
    public void An_Azure_trace_is_read_with_arrivals_after_its_first_request()
    {
        var requests = Read($"{AzureHeader}\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109");
        Assert.Equal([new TraceRequest(0, 374, 44), new TraceRequest(4_314_579, 396, 109)], requests);
    }

    [Fact]
    public void An_Azure_trace_may_have_carriage_returns_a_byte_order_mark_and_empty_lines()
    {
        var requests = Read($"\uFEFF{AzureHeader}\r\n\r\n2023-11-16 18:15:46.6805900,374,44\r\n");
        Assert.Equal([new TraceRequest(0, 374, 44)], requests);
    }

    [Fact]
    public void A_Mooncake_trace_is_read_and_its_hashes_are_ignored()
    {
        var requests = Read("""
            {"timestamp": 3000, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
            {"timestamp": 6001, "input_length": 7322, "output_length": 490}

            """);
        Assert.Equal([new TraceRequest(0, 6758, 500), new TraceRequest(3_001_000, 7322, 490)], requests);
    }

    [Fact]
    public void No_more_is_read_than_asked_for()
    {
        File.WriteAllText(_path, $"{AzureHeader}\n2023-11-16 18:15:46,1,2\nnonsense\n");
        Assert.Single(TraceReader.Read(_path, 1));
    }

    [Theory]
    [InlineData("2023-11-16 18:15:46.6805900,374", "2 fields")]
    [InlineData("2023-11-16 18:15:46.6805900,374,44,5", "more than 3 fields")]
    [InlineData("2023-11-16 18:15:46.6805900,374,", "GeneratedTokens is ''")]
    [InlineData("2023-11-16 18:15:46.6805900,12.5,44", "ContextTokens is '12.5'")]
    [InlineData("2023-11-16 18:15:46.6805900,0,44", "ContextTokens is 0; it must be between 1 and 16777216")]
    [InlineData("2023-11-16 18:15:46.6805900,374,-4", "GeneratedTokens is -4")]
    [InlineData("2023-11-16 18:15:46.6805900,16777217,44", "ContextTokens is 16777217")]
    [InlineData("2023-11-16 18:15:46.6805900,99999999999999999999,44", "ContextTokens is '99999999999999999999'")]
    [InlineData("yesterday,374,44", "TIMESTAMP is 'yesterday'")]
    [InlineData("2023-11-16 18:15:45.6805900,374,44", "arrives before")]
    public void A_wrong_Azure_line_is_named_with_what_is_wrong(string line, string what) =>
        AssertLine(3, what, $"{AzureHeader}\n2023-11-16 18:15:46.1000000,1,1\n{line}\n");

    [Theory]
    [InlineData("""{"timestamp": 1, "input_length": 7, "outp""", "not one whole JSON object")]
    [InlineData("""{"timestamp": 1, "input_length": 7, "output_length": 3} {}""", "not one whole JSON object")]
    [InlineData("""{"timestamp": 1, "input_length": 7}""", "output_length is missing")]
    [InlineData("""{"timestamp": 1, "input_length": "7", "output_length": 3}""", "input_length is '\"7\"'")]
    [InlineData("""{"timestamp": 1, "input_length": 7.5, "output_length": 3}""", "input_length is '7.5'")]
    [InlineData("""{"timestamp": 1, "input_length": 0, "output_length": 3}""", "input_length is 0")]
    [InlineData("""{"timestamp": 1, "input_length": 7, "output_length": -3}""", "output_length is -3")]
    [InlineData("""{"timestamp": 1, "input_length": 7, "output_length": 1e30}""", "output_length is '1e30'")]
    [InlineData("""{"timestamp": -1, "input_length": 7, "output_length": 3}""", "timestamp is -1")]
    [InlineData("""{"timestamp": 9223372036854775807, "input_length": 7, "output_length": 3}""", "timestamp is 9223372036854775807")]
    [InlineData("[1, 2]", "JSON Array")]
    [InlineData("hello", "not one whole JSON object")]
    public void A_wrong_Mooncake_line_is_named_with_what_is_wrong(string line, string what) =>
        AssertLine(2, what, "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1}\n" + line);

    [Fact]
    public void A_file_of_another_kind_is_refused_at_its_first_line() => AssertLine(1, "neither the Azure header", "PK\u0003\u0004 something else\n");

    [Fact]
    public void A_file_that_is_no_text_is_refused()
    {
        File.WriteAllBytes(_path, [0x7B, 0xFF, 0xFE, 0x00, 0x80, 0x0A]);
        var error = Assert.Throws<TraceException>(() => TraceReader.Read(_path, 10).ToArray());
        Assert.Equal(1, error.Line);
    }

    [Fact]
    public void A_line_without_end_is_refused_before_it_takes_all_memory() => AssertLine(1, "longer than 1048576 characters", new string('{', 1_100_000));

    [Theory]
    [InlineData("")]
    [InlineData("\n\n")]
    [InlineData(AzureHeader + "\n")]
    public void A_trace_without_requests_is_refused(string text) => AssertLine(0, "holds no request", text);

    [Fact]
    public void A_file_that_is_not_there_is_named()
    {
        var error = Assert.Throws<TraceException>(() => TraceReader.Read("/nowhere/trace.csv", 10).ToArray());
        Assert.StartsWith("/nowhere/trace.csv: cannot be opened", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_is_no_trace()
    {
        var error = Assert.Throws<TraceException>(() => TraceReader.Read(Path.GetTempPath(), 10).ToArray());
        Assert.Equal(0, error.Line);
        Assert.Contains("is a folder", error.Message, StringComparison.Ordinal);
    }

    public void Dispose() => File.Delete(_path);

    private TraceRequest[] Read(string text)
    {
        File.WriteAllText(_path, text);
        return [.. TraceReader.Read(_path, 1000)];
    }

    private void AssertLine(int line, string what, string text)
    {
        var error = Assert.Throws<TraceException>(() => Read(text));
        Assert.Equal(line, error.Line);
        Assert.Contains(what, error.Message, StringComparison.Ordinal);
        Assert.Contains(_path, error.Message, StringComparison.Ordinal);
    }
}
