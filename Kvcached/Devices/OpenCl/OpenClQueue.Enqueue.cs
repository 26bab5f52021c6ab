using System.Runtime.CompilerServices;
using Kvcached.Devices.Host;
using Kvcached.Kernels;

namespace Kvcached.Devices.OpenCl;

/// <summary>What the queue's thread enqueues. Memory of the host without a memory object is reached by reads and writes, which a driver makes in order too.</summary>
internal sealed unsafe partial class OpenClQueue
{
    private const int StagingBytes = 64 * 1024;

    /// <summary>An address, for the table update's argument: that of byte 0 of the staging buffer.</summary>
    private const ulong StagingAddress = 4096;

    /// <summary>A kernel object for each of the device's functions that has been launched: setting arguments is for one thread at a time.</summary>
    private readonly nint[] _kernels;

    /// <summary>What passes through it follows one another in the queue, so that it is used again at once.</summary>
    private OpenClBuffer? _staging;

    private nint Staging => (_staging ??= _device.CreateBuffer(StagingBytes, Cl.MemReadWrite, mapping: null, "staging")).DangerousGetHandle();

    private void Enqueue(ref CommandRecord command)
    {
        switch (command.Kind)
        {
            case CommandKind.Copy:
                Copy(in command, *(TransferBuffers*)command.More);
                break;
            case CommandKind.Fill:
                Fill(in command, ((TransferBuffers*)command.More)->Target);
                break;
            case CommandKind.UpdateTable:
                UpdateTable(in command, ((TransferBuffers*)command.More)->Target);
                break;
            case CommandKind.Launch:
                var shape = (LaunchShape*)command.More;
                if (shape->Function != LaunchShape.None)
                {
                    Launch(in *shape, command.Payload, command.Length, (KernelMemory*)(shape + 1));
                }

                break;
        }
    }

    private void Copy(ref readonly CommandRecord command, TransferBuffers buffers)
    {
        switch (buffers.Source != 0, buffers.Target != 0)
        {
            case (true, true):
                OpenClException.Check(
                    Cl.EnqueueCopyBuffer(_queue, buffers.Source, buffers.Target, (nuint)command.Source, (nuint)command.Target, (nuint)command.Length, 0, null, null),
                    "clEnqueueCopyBuffer");
                break;
            case (true, false):
                Read(buffers.Source, (nuint)command.Source, command.Target, command.Length);
                break;
            case (false, true):
                Write(buffers.Target, (nuint)command.Target, command.Source, command.Length);
                break;
            default:
                for (var done = 0L; done < command.Length; done += StagingBytes)
                {
                    var part = Math.Min(StagingBytes, command.Length - done);
                    Write(Staging, 0, command.Source + done, part);
                    Read(Staging, 0, command.Target + done, part);
                }

                break;
        }
    }

    private void Fill(ref readonly CommandRecord command, nint target)
    {
        if (target != 0)
        {
            Fill(target, (nuint)command.Target, command.Length, command.FillValue);
            return;
        }

        Fill(Staging, 0, Math.Min(StagingBytes, command.Length), command.FillValue);
        for (var done = 0L; done < command.Length; done += StagingBytes)
        {
            Read(Staging, 0, command.Target + done, Math.Min(StagingBytes, command.Length - done));
        }
    }

    private void UpdateTable(ref readonly CommandRecord command, nint table)
    {
        for (var done = 0L; done < command.Length; done += StagingBytes)
        {
            var part = Math.Min(StagingBytes, command.Length - done);
            Write(Staging, 0, command.Payload + done, part);
            if (table != 0)
            {
                UpdateTable(table, (uint)(part / Unsafe.SizeOf<TableEntry>()));
            }
            else
            {
                UpdateHostTable((uint*)command.Target, (TableEntry*)(command.Payload + done), part / Unsafe.SizeOf<TableEntry>());
            }
        }
    }

    private void UpdateTable(nint table, uint count)
    {
        const ulong tableAddress = StagingAddress;
        var arguments = new TableUpdateArguments { Table = tableAddress, Updates = StagingAddress, Count = count };
        var launch = _device.TableUpdate.Kernel.Plan(new ReadOnlySpan<byte>(&arguments, sizeof(TableUpdateArguments)), _device.ComputeUnits);
        var memories = stackalloc KernelMemory[] { new() { Buffer = table, Base = tableAddress }, new() { Buffer = Staging, Base = StagingAddress } };
        var shape = new LaunchShape
        {
            Function = _device.TableUpdate.FirstFunction + launch.EntryPoint,
            GroupSize = launch.GroupSize,
            GroupsX = launch.GroupsX,
            GroupsY = launch.GroupsY,
            GroupsZ = launch.GroupsZ,
            Addresses = 2,
        };
        Launch(in shape, (byte*)&arguments, sizeof(TableUpdateArguments), memories);
    }

    private void UpdateHostTable(uint* table, TableEntry* entries, long count)
    {
        for (var i = 0L; i < count; i++)
        {
            Read(Staging, (nuint)((i * sizeof(TableEntry)) + sizeof(uint)), (byte*)(table + entries[i].Index), sizeof(uint));
        }
    }

    private void Launch(ref readonly LaunchShape shape, byte* arguments, long bytes, KernelMemory* memories)
    {
        var kernel = KernelOf(shape.Function);
        OpenClException.Check(Cl.SetKernelArg(kernel, 0, (nuint)bytes, arguments), "clSetKernelArg");
        for (var i = 0; i < shape.Addresses; i++)
        {
            var buffer = memories[i].Buffer;
            OpenClException.Check(Cl.SetKernelArg(kernel, (uint)(1 + (2 * i)), (nuint)sizeof(nint), buffer == 0 ? null : &buffer), "clSetKernelArg");
            OpenClException.Check(Cl.SetKernelArg(kernel, (uint)(2 + (2 * i)), sizeof(ulong), &memories[i].Base), "clSetKernelArg");
        }

        var items = shape.GroupSize / _device.Lanes;
        var local = stackalloc nuint[] { items, 1, 1 };
        var global = stackalloc nuint[] { (nuint)items * shape.GroupsX, shape.GroupsY, shape.GroupsZ };
        OpenClException.Check(Cl.EnqueueNDRangeKernel(_queue, kernel, 3, null, global, local, 0, null, null), "clEnqueueNDRangeKernel");
    }

    private nint KernelOf(int function)
    {
        ref var kernel = ref _kernels[function];
        if (kernel == 0)
        {
            var (program, name) = _device.Functions[function];
            kernel = program.CreateKernel(name);
        }

        return kernel;
    }

    private void Read(nint source, nuint offset, byte* target, long bytes) =>
        OpenClException.Check(Cl.EnqueueReadBuffer(_queue, source, Cl.False, offset, (nuint)bytes, target, 0, null, null), "clEnqueueReadBuffer");

    private void Write(nint target, nuint offset, byte* source, long bytes) =>
        OpenClException.Check(Cl.EnqueueWriteBuffer(_queue, target, Cl.False, offset, (nuint)bytes, source, 0, null, null), "clEnqueueWriteBuffer");

    private void Fill(nint target, nuint offset, long bytes, byte value) =>
        OpenClException.Check(Cl.EnqueueFillBuffer(_queue, target, &value, 1, offset, (nuint)bytes, 0, null, null), "clEnqueueFillBuffer");
}
