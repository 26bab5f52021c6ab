using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Sequences;

namespace Kvcached;

// What models, sequences and lanes ask for. Work in the background goes behind it.
internal sealed partial class EmbeddedCache
{
    internal override KvSequence CreateSequence(KvModel model)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            var handle = _host.Engine.Sequences.Create(_client, model.Number);
            return new KvSequence(this, handle, _host.Engine.State.Sequences[handle.Index].Id);
        }
    }

    internal override int TokenCount(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.Find(_client, handle).BegunTokens;
        }
    }

    internal override bool IsRefused(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.Find(_client, handle).Refused;
        }
    }

    internal KvStepStatus Begin(EmbeddedLane lane, ReadOnlySpan<KvStepItem> batch, out ulong number)
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

    internal KvStepStatus StatusOf(EmbeddedLane lane, ulong number)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return CacheEngine.StatusOf(lane.State, number);
        }
    }

    internal override void Truncate(SequenceHandle handle, int tokens)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Truncate(_client, handle, tokens);
        }
    }

    internal override void Commit(SequenceHandle handle, int count)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Commit(_client, handle, count);
        }
    }

    internal override void Free(SequenceHandle handle)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.Free(_client, handle);
        }
    }

    internal override void OpenWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.OpenWindow(_client, handle, layout);
        }
    }

    internal override void CloseWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _host.Engine.Sequences.CloseWindow(_client, handle, layout);
        }
    }

    internal override long WindowBytes(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Sequences.WindowBytes(_client, handle, layout);
        }
    }

    internal PageTable PageTable(EmbeddedLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Kernels.PageTable(lane.State, number, layout);
        }
    }

    internal WindowArguments WindowArguments(EmbeddedLane lane, ulong number, int layout)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            return _host.Engine.Kernels.WindowArguments(lane.State, number, layout);
        }
    }

    internal override int Transfer(TransferKind kind, KvLane lane, SequenceHandle handle, int most)
    {
        ArgumentNullException.ThrowIfNull(lane);
        lock (_lock)
        {
            ThrowIfClosed();
            var state = lane is EmbeddedLane own && own.Cache == this ? own.State : throw ForeignLane();
            _host.Observe();
            _host.Engine.Serve();
            var blocks = _host.Engine.Transfers.Run(kind, state, handle, most);
            _host.Engine.WorkInBackground();
            return blocks;
        }
    }
}
