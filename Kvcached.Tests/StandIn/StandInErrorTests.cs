using Kvcached.Daemon.Demo;
using Xunit;

namespace Kvcached.Tests.StandIn;

/// <summary>What the programs say where a GPU cannot be used, or stops: what is wrong, and what to do.</summary>
public sealed class StandInErrorTests
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    [StandInTheory]
    [InlineData("DEVICES=0", 2, "the driver finds no GPU. In a container, give it one (--gpus all); else look at nvidia-smi.")]
    [InlineData("DRIVER=11080", 2, "the driver is of CUDA 11.8; install one of CUDA 12.0 (version 525) or later.")]
    [InlineData("CAPABILITY=75", 2, "its compute capability is 7.5; kernels are there for 8.0 and later.")]
    [InlineData("BYTES=1000000", 1, "bytes for weights: cuMemAlloc failed with CUDA_ERROR_OUT_OF_MEMORY (2): out of memory.")]
    [InlineData("FAIL=cuModuleLoadDataEx:1:218", 2, "The driver cannot compile the kernels of 'kernels': cuModuleLoadDataEx failed with CUDA_ERROR_INVALID_PTX (218)")]
    [InlineData("FAIL=cuStreamCreate:2", 1, "cuStreamCreate failed with CUDA_ERROR_UNKNOWN (999): unknown error.")]
    [InlineData("ILL_COMMAND=20", 1, "This process cannot use the GPU any more: start it again.")]
    public async Task The_demo_says_what_is_wrong_with_a_GPU(string setting, int exitCode, string says)
    {
        var run = await StandInDriver.Run(typeof(DemoRunner).Assembly, _limit, [setting], "demo", "--device", "cuda");
        Assert.True(run.ExitCode == exitCode, run.ToString());
        var last = run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
        Assert.StartsWith("kvcached: demo: ", last, StringComparison.Ordinal);
        Assert.Contains(says, last, StringComparison.Ordinal);
    }

    [StandInFact]
    public async Task The_list_of_devices_says_that_it_is_no_GPU()
    {
        var run = await StandInDriver.Run(typeof(DemoRunner).Assembly, _limit, [], "devices", "--json");
        Assert.Contains("stand-in driver, no GPU", run.Output, StringComparison.Ordinal);
        run = await StandInDriver.Run(typeof(DemoRunner).Assembly, _limit, ["CAPABILITY=75"], "devices", "--json");
        Assert.Contains("its compute capability is 7.5", run.Output, StringComparison.Ordinal);
    }
}
