using Kvcached.Bench.Simulation;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Kvcached.Devices.Cuda;
using Kvcached.Devices.OpenCl;
using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Server;
using Kvcached.Tests.Client;
using Kvcached.Tests.Devices;
using Xunit;

namespace Kvcached.Tests.Contiguous;

/// <summary>
/// Random programs on sequences with and without windows, on a pool that does not hold all of them: every token that a step reads in a window or
/// in a block is the one that was written. A device plugs in by deriving a class that makes it.
/// </summary>
public abstract class WindowConformance
{
    internal static readonly KvLayout Layout = new() { Layers = 2, Heads = 2, HeadDim = 4096, ElementType = KvElementType.Byte, TokensPerBlock = 8 };

    [Theory]
    [InlineData(1, KvAxisOrder.TokenMajor)]
    [InlineData(2, KvAxisOrder.HeadMajor)]
    public void Windows_and_blocks_hold_the_same_tokens_whatever_becomes_of_both(int seed, KvAxisOrder order)
    {
        var done = Run(seed, order);
        Assert.True(done.WindowsGrown + done.WindowsMoved > 0 && done.WindowsDropped > 0 && done.EvictedBlocks > 0 && done.ReloadedBlocks > 0, done.ToString());
    }

    /// <summary>Runs a program and expects that nothing was wrong or refused.</summary>
    protected KvCacheStatistics Run(int seed, KvAxisOrder order)
    {
        using var device = CreateDevice(seed);
        using var cache = CreateCache(device);
        using var program = new WindowProgram(device, cache, Layout with { AxisOrder = order }, seed, Advance, Idle);

        program.Run(steps: 100);

        var done = program.Statistics;
        Assert.True(program.Wrong == 0 && program.Right > 1000, $"Seed {seed}: {program.Wrong} tokens wrong, {program.Right} right: {done}");
        Assert.Equal((0, 0), (done.RefusedSteps, done.HostWaits));
        Assert.True(program.WindowBytes > 0 && program.WindowBytes % KvCacheOptions.UnitBytes == 0, $"Windows had {program.WindowBytes} bytes.");
        return done;
    }

    protected abstract IDevice CreateDevice(int seed);

    /// <summary>Opens a cache that keeps the program short of room.</summary>
    protected virtual KvCache CreateCache(IDevice device) => KvCache.OpenEmbedded(device, WindowProgram.CacheOptions);

    /// <summary>Lets the device work until it has reached a point; false if it does not get there.</summary>
    protected abstract bool Advance(IDevice device, TimelinePoint point);

    /// <summary>Lets the device work a little.</summary>
    protected abstract void Idle(IDevice device);
}

/// <summary>Devices that work in real time.</summary>
public abstract class TimedWindowConformance : WindowConformance
{
    protected override bool Advance(IDevice device, TimelinePoint point) => point.Timeline.WaitOnHost(point.Value, CacheRig.Limit);

    protected override void Idle(IDevice device) => Thread.Sleep(1);
}

public class CpuWindowConformance : TimedWindowConformance
{
    protected override IDevice CreateDevice(int seed) => new CpuDevice(new CpuDeviceOptions { Workers = 2, Kernels = [WindowStamps.CpuKernel] });
}

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClWindowConformance : TimedWindowConformance
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }

    protected override IDevice CreateDevice(int seed) => new OpenClDevice(new OpenClDeviceOptions { Kernels = [WindowStamps.GpuKernel] });
}

/// <summary>The suite on an OpenCL device that has memory of its own, or is taken for one.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OwnMemoryOpenClWindowConformance : TimedWindowConformance
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }

    protected override IDevice CreateDevice(int seed) => new OpenClDevice(new OpenClDeviceOptions { Kernels = [WindowStamps.GpuKernel], OwnMemory = true });
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaWindowConformance : TimedWindowConformance
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }

    protected override IDevice CreateDevice(int seed) => new CudaDevice(new CudaDeviceOptions { Kernels = [WindowStamps.GpuKernel] });
}

/// <summary>
/// The cache is a daemon's, which has the pool mapped elsewhere, but in the same process: an address of the wrong mapping works here. <c>ServedRunnerTests</c> and <c>FuzzTests</c> notice one, in processes of their own.
/// </summary>
public sealed class ServedWindowConformance : CpuWindowConformance, IDisposable
{
    private readonly SocketFolder _folder = new();
    private readonly TestDaemon _daemon;

    public ServedWindowConformance() => _daemon = new TestDaemon(new ServerOptions
    {
        Socket = _folder.Socket,
        PoolBytes = WindowProgram.CacheOptions.PoolBytes,
        ColdBytes = WindowProgram.CacheOptions.ColdBytes,
        TableBytes = WindowProgram.CacheOptions.TableBytes,
        MaxSequences = WindowProgram.CacheOptions.MaxSequences,
    });

    public void Dispose()
    {
        _daemon.Dispose();
        _folder.Dispose();
    }

    protected override KvCache CreateCache(IDevice device) => _daemon.Connect((CpuDevice)device);
}

public sealed class SimWindowConformance : WindowConformance
{
    private const int Seeds = 6;

    [Fact]
    public void Windows_grow_where_they_lie_and_elsewhere()
    {
        long grown = 0, moved = 0;
        for (var seed = 3; seed < 3 + Seeds; seed++)
        {
            var done = Run(seed, KvAxisOrder.TokenMajor);
            grown += done.WindowsGrown;
            moved += done.WindowsMoved;
        }

        Assert.True(grown > 0 && moved > 0, $"{grown} grown, {moved} moved");
    }

    [Theory]
    [InlineData("GatherAfterWriter")]
    [InlineData("GatherAfterReaders")]
    public void A_wait_that_is_dropped_is_noticed(string reason)
    {
        for (var seed = 1; seed <= 40; seed++)
        {
            using var device = (SimDevice)CreateDevice(seed);
            using var dropping = new WaitDroppingDevice(device, 1UL << (int)Enum.Parse<WaitReason>(reason));
            using var cache = CreateCache(dropping);
            using var program = new WindowProgram(dropping, cache, Layout, seed, (_, point) => device.RunUntil(point), _ => device.RunUntilIdle());
            try
            {
                program.Run(steps: 100);
            }
            catch (SimViolationException violation)
            {
                Assert.Equal(SimViolationKind.Race, violation.Violation.Kind);
                return;
            }
        }

        Assert.Fail($"{reason} is not noticed.");
    }

    protected override IDevice CreateDevice(int seed) => new SimDevice(new SimOptions
    {
        Seed = (ulong)seed,
        Kernels = [.. WindowKernel.All, WindowStamps.SimKernel],
        CellBytes = label => label is "pool" or "cold" ? 4096 : 4,
        RequirePromises = false,
        LagObservation = true,
    });

    protected override bool Advance(IDevice device, TimelinePoint point) => ((SimDevice)device).RunUntil(point);

    protected override void Idle(IDevice device) => ((SimDevice)device).RunUntilIdle();
}
