using System.Text.Json;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>The cuda device's suites on the stand-in driver: a GPU has never run them.</summary>
public sealed class StandInSuiteTests
{
    private static readonly TimeSpan _limit = TimeSpan.FromMinutes(3);

    [StandInTheory]
    [InlineData("CudaDeviceConformance", 60)]
    [InlineData("CudaSharing", 20)]
    [InlineData("CudaAttentionConformance", 29)]
    [InlineData("CudaAttentionInvariance", 31)]
    [InlineData("CudaKv", 9)]
    [InlineData("CudaMove", 9)]
    [InlineData("CudaPage", 5)]
    [InlineData("CudaStamp", 12)]
    [InlineData("CudaGolden", 1)]
    [InlineData("CudaWindow", 8)]
    [InlineData("CudaTable", 1)]
    [InlineData("CudaContent", 11)]
    [InlineData("OnStandInErrors", 2)]
    public Task The_suites_of_the_cuda_device_pass(string suite, int least) => AssertPasses(suite, least);

    [StandInFact]
    public Task Memory_of_the_cuda_device_comes_and_goes_and_is_refused() => AssertPasses("CudaElastic", 6, "BYTES=100663296");

    [StandInFact]
    public Task Memory_of_the_cuda_device_comes_and_goes_where_the_driver_waits_for_the_GPU() => AssertPasses("CudaElastic", 6, "BYTES=100663296", "SLOW_CALLS=1");

    [StandInTheory]
    [InlineData("CHANNELS=1")]
    [InlineData("CAPABILITY=90", "DRIVER=12080")]
    [InlineData("NO_READONLY=1")]
    public Task The_device_keeps_its_contract_on_other_GPUs(params string[] settings) => AssertPasses("CudaDeviceConformance", 60, settings);

    [StandInTheory]
    [InlineData("CHANNELS=1")]
    public Task A_peer_that_stalls_holds_up_nobody_where_all_streams_share_a_channel(params string[] settings) => AssertPasses("CudaSharingProcesses", 5, settings);

    [StandInFact]
    public Task What_a_stream_does_is_in_order() => AssertPasses("OnStandInOrder", 4, "DAWDLE=3000");

    [StandInFact]
    public Task A_process_that_loses_its_device_is_told_so() => AssertPasses("OnLostStandIn", 1, "ILL_COMMAND=1");

    /// <summary>No call may wait for the device while its queues are held closed, though every call that can waits for all streams.</summary>
    [StandInFact]
    public Task The_demo_and_its_gate_test_pass() => AssertPasses("OnStandInDemo", 4, "CHANNELS=64", "SLOW_CALLS=1");

    private static async Task AssertPasses(string suite, int least, params string[] settings)
    {
        var run = await StandInDriver.Run(typeof(StandInSuiteTests).Assembly, _limit, settings, "suites", suite);
        Assert.True(run.ExitCode == 0, run.ToString());
        var counts = JsonDocument.Parse(run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]).RootElement;
        Assert.True(counts.GetProperty("passed").GetInt32() >= least, run.ToString());
        Assert.Equal(0, counts.GetProperty("skipped").GetInt32());
    }
}
