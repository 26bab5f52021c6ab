using Kvcached.Devices.Cuda;
using Kvcached.Kernels.Gpu;
using Kvcached.Tests.Devices;
using Kvcached.Tests.Replay;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>A GPU, opened once for all suites: the driver compiles its kernels then.</summary>
internal sealed class CudaMachine() : DeviceMachine(Shared.Value, (int)AttentionLaunches.MaxHeadDim)
{
    private static readonly Lazy<CudaDevice> Shared = new(() => new CudaDevice());
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaAttentionConformance() : AttentionConformance(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaAttentionInvariance() : AttentionInvariance(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaKvWrites() : KvWrites(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaMoveKernels() : MoveKernels(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaPageTableKernels() : PageTableKernels(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaWindowKernels() : WindowKernels(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on a GPU.</summary>
[TestCaseOrderer(CudaSuite.Name, CudaSuite.Assembly)]
public sealed class CudaStampKernels() : StampKernels(new CudaMachine())
{
    [CudaFact]
    public void The_suite_is_run()
    {
    }
}
