using System.Globalization;
using System.Text;
using System.Text.Json;
using Kvcached.Daemon;
using Kvcached.Daemon.Replay;
using Xunit;

namespace Kvcached.Tests.Replay;

public class ReplayCommandTests
{
    private const long PoolBytes = 8 << 20;

    private static readonly string[] Fields =
    [
        "device", "requests", "refused", "tokens", "steps", "evicted_blocks", "reloaded_blocks", "bytes_out", "bytes_in", "copies", "mean_run_length", "verified_granules", "mismatched_granules",
        "p50_step_us", "p99_step_us", "device_bytes_peak", "pool_bytes_peak", "pool_bytes_end", "cold_bytes_peak", "elapsed_s",
    ];

    [Fact]
    public void A_generated_workload_on_a_pool_that_is_too_small_verifies_every_granule_that_its_steps_read()
    {
        var (exit, report, errors) = Replay(new ReplayOptions { Requests = 40, Pool = PoolSize.Fixed(PoolBytes) });
        Assert.Equal("", errors);
        Assert.Equal(0, exit);
        Assert.Equal((40, 0, 0), (Number(report, "requests"), Number(report, "refused"), Number(report, "mismatched_granules")));
        Assert.True(Number(report, "bytes_in") >= 10 * PoolBytes);
        Assert.True(Number(report, "evicted_blocks") > 1_000);
        Assert.True(Number(report, "device_bytes_peak") >= PoolBytes);
        Assert.StartsWith("cpu (", report.GetProperty("device").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pool_that_holds_everything_is_said_to_have_shown_little()
    {
        var (exit, report, errors) = Replay(new ReplayOptions { Requests = 2, Pool = PoolSize.Fixed(64 << 20), Active = 1 });
        Assert.Equal((0, 0), (exit, Number(report, "evicted_blocks")));
        Assert.Contains("nothing was evicted", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pool_grows_with_need_and_is_at_its_floor_in_the_end()
    {
        var (exit, report, errors) = Replay(new ReplayOptions { Requests = 40, Pool = new PoolSize(2 << 20, PoolBytes) });
        Assert.Equal("", errors);
        Assert.Equal(0, exit);
        Assert.True(Number(report, "evicted_blocks") > 1_000);
        Assert.Equal(PoolBytes, Number(report, "pool_bytes_peak"));
        Assert.InRange(Number(report, "pool_bytes_end"), 1, 2 << 20);
    }

    [Fact]
    public void Two_client_processes_of_a_daemon_serve_all_requests_and_verify_as_many_granules_as_their_steps_read()
    {
        var options = new ReplayOptions { Requests = 40, Pool = new PoolSize(2 << 20, 2 * PoolBytes), Processes = 2 };
        var (exit, report, errors) = Replay(options);
        Assert.Equal("", errors);
        Assert.Equal(0, exit);
        Assert.StartsWith("cpu (", report.GetProperty("device").GetString(), StringComparison.Ordinal);
        Assert.Equal((2, 40, 0, 0), (Number(report, "processes"), Number(report, "requests"), Number(report, "refused"), Number(report, "mismatched_granules")));
        Assert.True(Number(report, "evicted_blocks") > 1_000 && Number(report, "reloaded_blocks") > 1_000, report.ToString());
        Assert.InRange(Number(report, "pool_bytes_end"), 1, 2 << 20);
        Assert.Equal(["device", "processes", .. Fields[1..]], report.EnumerateObject().Select(property => property.Name));
        var all = ReplayCommand.ReadRequests(options).Sum(request => (long)request.TotalTokens);
        Assert.InRange(Number(report, "tokens"), all, all + (40 * 24));
    }

    [Fact]
    public void A_request_of_one_process_that_can_never_fit_is_refused_alone()
    {
        var text = Trace("2023-11-16 18:15:46,100,10", 5) + "\n2023-11-16 18:15:46,9000,10";
        var (exit, report, errors) = Replay(text, PoolBytes, seed: 3, processes: 2);
        Assert.Equal(1, exit);
        Assert.Equal((6, 1, 0), (Number(report, "requests"), Number(report, "refused"), Number(report, "mismatched_granules")));
        Assert.Contains("1 of 6 requests were refused: the pool or the cold memory is too small for them, or the part of the pool that one process may pin (serve --max-pinned, 0.75).", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void More_processes_than_requests_is_bad_input() =>
        Assert.Contains("there are 2 requests", Assert.Throws<UsageException>(() => Replay(new ReplayOptions { Requests = 2, Processes = 3 })).Message, StringComparison.Ordinal);

    [Fact]
    public void A_pool_that_does_not_shrink_to_its_floor_is_a_complaint()
    {
        var report = new ReplayReport
        {
            Device = "cpu",
            Requests = 1,
            Refused = 0,
            Tokens = 1,
            Steps = 1,
            EvictedBlocks = 0,
            ReloadedBlocks = 0,
            BytesOut = 0,
            BytesIn = 0,
            Copies = 1,
            MeanRunLength = 1,
            VerifiedGranules = 1,
            MismatchedGranules = 0,
            P50StepUs = 1,
            P99StepUs = 1,
            DeviceBytesPeak = 1,
            PoolBytesPeak = PoolBytes,
            PoolBytesEnd = 4 << 20,
            ColdBytesPeak = 1,
            PoolFloorBytes = 4 << 20,
        };
        Assert.True(report.Holds);
        report = report with { PoolFloorBytes = 2 << 20 };
        Assert.False(report.Holds);
        Assert.Contains("its floor is 2097152", Assert.Single(report.Complaints()), StringComparison.Ordinal);
    }

    [Fact]
    public void As_many_granules_are_verified_as_steps_of_the_workload_read()
    {
        // 10 requests of 3 chunks (512 tokens each: a 16th of the pool) and 4 tokens, none of them truncated with this seed.
        var (_, report, _) = Replay(Trace("2023-11-16 18:15:46,1200,4", 10), PoolBytes, seed: 3);
        const int prefill = 512 + 1024 + 1200;
        const int decode = 1201 + 1202 + 1203 + 1204;
        Assert.Equal(10 * 4 * (prefill + decode), Number(report, "verified_granules"));
        Assert.Equal(10 * 1204, Number(report, "tokens"));
    }

    [Fact]
    public void A_truncated_request_is_regrown_to_its_full_length()
    {
        var (exit, report, _) = Replay(Trace("2023-11-16 18:15:46,100,60", 64), PoolBytes, seed: 1);
        Assert.Equal(0, exit);
        // Requests that were truncated wrote some tokens twice: one in 16 of them, up to 24 tokens.
        Assert.InRange(Number(report, "tokens"), (64 * 160) + 1, (64 * 160) + (64 * 24));
    }

    [Fact]
    public void A_Mooncake_trace_is_replayed_at_a_multiple_of_its_own_speed()
    {
        var lines = Enumerable.Range(0, 8).Select(i => $$"""{"timestamp": {{i * 1000}}, "input_length": 900, "output_length": 20, "hash_ids": [1]}""");
        var (exit, report, _) = Replay(string.Join('\n', lines), PoolBytes, seed: 1, speed: 20);
        Assert.Equal(0, exit);
        Assert.Equal(8, Number(report, "requests"));
        Assert.True(report.GetProperty("elapsed_s").GetDouble() >= 7.0 / 20);
    }

    [Fact]
    public void A_bit_flipped_in_cold_memory_is_a_mismatch_and_exit_code_1()
    {
        var (exit, report, errors) = Replay(new ReplayOptions { Requests = 40, Pool = PoolSize.Fixed(PoolBytes), FlipBit = true });
        Assert.Equal(1, exit);
        Assert.True(Number(report, "mismatched_granules") >= 1);
        Assert.Contains("flipped bit", errors, StringComparison.Ordinal);
        Assert.Contains("the first: sequence", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_request_that_can_never_fit_is_refused_alone()
    {
        var text = Trace("2023-11-16 18:15:46,100,10", 6) + "\n2023-11-16 18:15:46,9000,10\n2023-11-16 18:15:46,100,10";
        var (exit, report, errors) = Replay(text, PoolBytes, seed: 3);
        Assert.Equal(1, exit);
        Assert.Equal((8, 1, 0), (Number(report, "requests"), Number(report, "refused"), Number(report, "mismatched_granules")));
        Assert.Contains("1 of 8 requests were refused", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_line_of_a_trace_is_bad_input()
    {
        var error = Assert.Throws<UsageException>(() => Replay(Trace("2023-11-16 18:15:46,100", 1), PoolBytes, seed: 1));
        Assert.Contains("line 2: 2 fields", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_report_for_people_ends_with_the_line_of_JSON()
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        ReplayCommand.Execute(new ReplayOptions { Requests = 2, Pool = PoolSize.Fixed(PoolBytes) }, json: false, output, TextWriter.Null);
        var lines = output.ToString().TrimEnd().Split('\n');
        Assert.StartsWith("device ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("requests  2, 0 refused", lines[1], StringComparison.Ordinal);
        Assert.Equal(Fields, FieldsOf(lines[^1]));
    }

    [Fact]
    public void With_json_the_line_is_all_of_standard_output()
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        ReplayCommand.Execute(new ReplayOptions { Requests = 2, Pool = PoolSize.Fixed(PoolBytes) }, json: true, output, TextWriter.Null);
        Assert.Equal(Fields, FieldsOf(Assert.Single(output.ToString().TrimEnd().Split('\n'))));
    }

    private static (int Exit, JsonElement Report, string Errors) Replay(string trace, long poolBytes, int seed, double speed = double.PositiveInfinity, int processes = 0)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, trace, Encoding.UTF8);
            return Replay(new ReplayOptions { TracePath = path, Pool = PoolSize.Fixed(poolBytes), Seed = seed, Speed = speed, Processes = processes });
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static (int Exit, JsonElement Report, string Errors) Replay(ReplayOptions options)
    {
        var output = new StringWriter(CultureInfo.InvariantCulture);
        var errors = new StringWriter(CultureInfo.InvariantCulture);
        var exit = ReplayCommand.Execute(options, json: true, output, errors);
        using var document = JsonDocument.Parse(output.ToString());
        return (exit, document.RootElement.Clone(), errors.ToString());
    }

    private static string Trace(string line, int times) =>
        "TIMESTAMP,ContextTokens,GeneratedTokens\n" + string.Join('\n', Enumerable.Repeat(line, times));

    private static string[] FieldsOf(string json)
    {
        using var document = JsonDocument.Parse(json);
        return [.. document.RootElement.EnumerateObject().Select(property => property.Name)];
    }

    private static long Number(JsonElement report, string field) => report.GetProperty(field).GetInt64();
}
