using System.Runtime.InteropServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels;

namespace Kvcached.Devices.Cuda;

/// <summary>
/// Who makes a copy. The copy engines do, beside what runs, but for
/// <list type="bullet">
/// <item>small ones between memories of this process alone: each costs an engine more than a kernel's share of it does, so consecutive ones go into one launch as far as none of them
/// touches what another writes. Where other processes share memory, their kernels would have to stop for it;</item>
/// <item>those from host memory to host memory: the driver makes such a copy while its caller waits, whatever the stream still waits for, and a queue's thread that is held there could not be
/// ended. A host function would not do: all streams share the thread that runs them.</item>
/// </list>
/// </summary>
internal sealed unsafe partial class CudaQueue
{
    /// <summary>In place of a kernel.</summary>
    private const int ByEngine = -1;

    /// <summary>What the next launch copies; the queue's thread. The driver captures it.</summary>
    private readonly CopyBatchArguments* _batch = (CopyBatchArguments*)NativeMemory.AllocZeroed((nuint)sizeof(CopyBatchArguments));

    private protected override void CaptureTransfer(ref readonly Command command, ref CommandRecord record, ref byte* more)
    {
        if (command.Kind == CommandKind.Copy)
        {
            record.Kernel = IsForKernel(in command) ? _device.CopyBatch.Index : ByEngine;
        }
    }

    private bool IsForKernel(ref readonly Command command) =>
        (command.Source!.Kind == MemoryKind.Host && command.Target!.Kind == MemoryKind.Host)
        || (command.Bytes <= _device.KernelCopyBytes && IsOfThisProcess(command.Source) && IsOfThisProcess(command.Target!));

    private static bool IsOfThisProcess(DeviceMemory memory) => memory switch
    {
        MappedMemory mapped => mapped.Access == SharedAccess.Private,
        CudaMemory own => own.Allocation is not SharedAllocation,
        _ => false,
    };

    private void AddToBatch(in CommandRecord copy)
    {
        var range = new CopyArguments { Source = (ulong)copy.Source, Target = (ulong)copy.Target, Bytes = (ulong)copy.Length };
        if (_batch->Conflicts(in range) || !_batch->TryAdd(in range))
        {
            EnqueueBatch();
            _batch->TryAdd(in range);
        }
    }

    private void EnqueueBatch()
    {
        if (_batch->Count == 0)
        {
            return;
        }

        var kernel = _device.CopyBatch;
        EnqueueLaunch(kernel, _batch, sizeof(CopyBatchArguments), kernel.Kernel.Spread(new ReadOnlySpan<byte>(_batch, sizeof(CopyBatchArguments)), _device.ComputeUnits));
        _batch->Count = 0;
    }
}
