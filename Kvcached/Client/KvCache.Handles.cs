using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Kernels.Cpu;
using Kvcached.Sequences;

namespace Kvcached;

// What models, sequences and lanes ask for. Work in the background goes behind it.
public sealed partial class KvCache
{
    internal KvSequence CreateSequence(KvModel model)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            var handle = _host.Engine.Sequences.Create(_client, model.Number);
            return new KvSequence(this, handle, _host.Engine.State.Sequences[handle.Index].Id);
        }
    }

    internal int TokenCount(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.Find(_client, handle).BegunTokens;
        }
    }

    internal bool IsRefused(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.Find(_client, handle).Refused;
        }
    }

    internal KvStepStatus Begin(KvLane lane, ReadOnlySpan<KvStepItem> batch, out ulong number)
    {
        KvStepStatus status;
        EngineCounters counted;
        lock (_lock)
        {
            ThrowIfClosed();
            if (batch.Length > _batch.Length)
            {
                KvCacheOptions.Check("The batch", batch.Length, 1, lane.MaxBatch, 1);
                _batch = new StepRequest[batch.Length];
            }

            for (var i = 0; i < batch.Length; i++)
            {
                _batch[i] = new StepRequest(HandleOf(batch[i].Sequence), batch[i].NewTokens);
            }

            _host.Observe();
            _host.Engine.Serve();
            status = _host.Engine.Begin(lane.State, _batch.AsSpan(0, batch.Length));
            _host.Engine.WorkInBackground();
            number = status == KvStepStatus.TooManySteps ? 0 : lane.State.Begun;
            counted = _metrics.Take(_host.Engine.Counters);
        }

        _metrics.Report(counted);
        return status;
    }

    internal KvStepStatus StatusOf(KvLane lane, ulong number)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return CacheEngine.StatusOf(lane.State, number);
        }
    }

    internal void Truncate(SequenceHandle handle, int tokens)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Truncate(_client, handle, tokens);
        }
    }

    internal void Commit(SequenceHandle handle, int count)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Commit(_client, handle, count);
        }
    }

    internal void Free(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Free(_client, handle);
        }
    }

    internal void OpenWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.OpenWindow(_client, handle, layout);
        }
    }

    internal void CloseWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.CloseWindow(_client, handle, layout);
        }
    }

    internal long WindowBytes(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.WindowBytes(_client, handle, layout);
        }
    }

    internal PageTable PageTable(KvLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Kernels.PageTable(lane.State, number, layout);
        }
    }

    internal WindowArguments WindowArguments(KvLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Kernels.WindowArguments(lane.State, number, layout);
        }
    }

    internal int Clean(KvLane lane, SequenceHandle handle) =>
        Transfer(lane, handle, 0, static (transfers, lane, handle, _) => transfers.Clean(lane, handle));

    internal int Evict(KvLane lane, SequenceHandle handle) =>
        Transfer(lane, handle, 0, static (transfers, lane, handle, _) => transfers.Evict(lane, handle));

    internal int Prefetch(KvLane lane, SequenceHandle handle) =>
        Transfer(lane, handle, 0, static (transfers, lane, handle, _) => transfers.Prefetch(lane, handle));

    internal int RestoreOrder(KvLane lane, SequenceHandle handle) =>
        Transfer(lane, handle, 0, static (transfers, lane, handle, _) => transfers.RestoreOrder(lane, handle));

    internal int Move(KvLane lane, SequenceHandle handle, int maxBlocks)
    {
        KvCacheOptions.Check(nameof(maxBlocks), maxBlocks, 0, int.MaxValue, 1);
        return Transfer(lane, handle, maxBlocks, static (transfers, lane, handle, most) => transfers.Move(lane, handle, 0, most, background: false));
    }

    /// <summary>Has transfers of a sequence enqueued on a lane. Returns the blocks that they are of.</summary>
    private int Transfer(KvLane lane, SequenceHandle handle, int most, Func<SequenceTransfers, LaneState, SequenceHandle, int, int> transfer)
    {
        lock (_lock)
        {
            Serve(lane);
            var blocks = transfer(_host.Engine.Transfers, lane.State, handle, most);
            _host.Engine.WorkInBackground();
            return blocks;
        }
    }

    private SequenceHandle HandleOf(KvSequence sequence) => sequence.Cache == this
        ? sequence.Handle
        : throw new KvException(KvError.ForeignHandle, $"Sequence {sequence.Id} is another cache's.");

    private void Serve(KvLane lane)
    {
        ArgumentNullException.ThrowIfNull(lane);
        if (lane.Cache != this)
        {
            throw new KvException(KvError.ForeignHandle, "The lane is another cache's.");
        }

        ThrowIfClosed();
        _host.Observe();
        _host.Engine.Serve();
    }
}
