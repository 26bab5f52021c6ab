using System.Runtime.InteropServices;
using Kvcached.Engine;
using Kvcached.Protocol;
using Kvcached.Sequences;

namespace Kvcached;

// What models, sequences and lanes ask for: checked here as the daemon would, then sent.
internal sealed partial class RemoteCache
{
    internal override KvSequence CreateSequence(KvModel model)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            var sequence = _sequences.Create(model.Number);
            Send(SubmissionKind.Create, new CreateRecord { Slot = (uint)sequence.Slot, Model = (uint)model.Number, Id = sequence.Id });
            return new KvSequence(this, sequence.Handle, sequence.Id);
        }
    }

    internal override int TokenCount(SequenceHandle handle)
    {
        lock (_lock)
        {
            return FindAnswered(handle).Tokens;
        }
    }

    internal override bool IsRefused(SequenceHandle handle)
    {
        lock (_lock)
        {
            return FindAnswered(handle).IsRefused;
        }
    }

    internal override void Truncate(SequenceHandle handle, int tokens)
    {
        lock (_lock)
        {
            var sequence = FindAnswered(handle);
            if (tokens < 0 || tokens > sequence.Tokens)
            {
                throw new KvException(KvError.InvalidArgument, $"Cannot keep {tokens} tokens of a sequence that has {sequence.Tokens}.");
            }

            Send(SubmissionKind.Truncate, new SequenceRecord { Slot = (uint)sequence.Slot, Value = tokens });
            sequence.Truncate(tokens);
        }
    }

    internal override void Commit(SequenceHandle handle, int count)
    {
        lock (_lock)
        {
            var sequence = FindAnswered(handle);
            if (count > sequence.Tokens - sequence.Committed)
            {
                throw new KvException(KvError.InvalidArgument, $"{count} token ids, but only {sequence.Tokens - sequence.Committed} of the sequence's {sequence.Tokens} tokens have not been committed.");
            }

            Send(SubmissionKind.Commit, new SequenceRecord { Slot = (uint)sequence.Slot, Value = count });
            sequence.Committed += count;
        }
    }

    internal override void Free(SequenceHandle handle)
    {
        lock (_lock)
        {
            var sequence = FindAnswered(handle);
            Send(SubmissionKind.Free, new SequenceRecord { Slot = (uint)sequence.Slot });
            _sequences.Free(sequence);
        }
    }

    internal override void OpenWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            var sequence = FindWithLayout(handle, layout);
            Windows.CheckIsClosed(sequence.OpenWindows, layout, _models[sequence.Model].WindowTokens[layout], sequence.Id);
            Send(SubmissionKind.OpenWindow, new SequenceRecord { Slot = (uint)sequence.Slot, Value = layout });
            sequence.OpenWindows |= 1UL << layout;
        }
    }

    internal override void CloseWindow(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            var sequence = FindWithLayout(handle, layout);
            Windows.CheckIsOpen(sequence.OpenWindows, layout, sequence.Id);
            Send(SubmissionKind.CloseWindow, new SequenceRecord { Slot = (uint)sequence.Slot, Value = layout });
            sequence.OpenWindows &= ~(1UL << layout);
        }
    }

    internal override long WindowBytes(SequenceHandle handle, int layout)
    {
        lock (_lock)
        {
            var sequence = FindWithLayout(handle, layout);
            Windows.CheckIsOpen(sequence.OpenWindows, layout, sequence.Id);
            Send(SubmissionKind.MeasureWindow, new WindowRecord { Slot = (uint)sequence.Slot, Layout = layout, Ticket = ++_tickets });
            return Await(_tickets);
        }
    }

    internal override int Transfer(TransferKind kind, KvLane lane, SequenceHandle handle, int most)
    {
        ArgumentNullException.ThrowIfNull(lane);
        lock (_lock)
        {
            var sequence = FindAnswered(handle);
            var own = lane is RemoteLane remote && remote.Cache == this ? remote : throw ForeignLane();
            Send(SubmissionKind.Transfer, new TransferRecord { Lane = own.Number, Slot = (uint)sequence.Slot, Kind = (uint)kind, Most = most, Ticket = ++_tickets });
            return (int)Await(_tickets);
        }
    }

    internal KvStepStatus Begin(RemoteLane lane, ReadOnlySpan<KvStepItem> batch, out ulong number)
    {
        lock (_lock)
        {
            ThrowIfClosed();
            _link.ThrowIfLost();
            ReadAnswers();
            var model = CheckBatch(lane, batch);
            number = 0;
            if (!lane.HasRoom || !_link.TryReserve(SubmissionKind.Begin, BeginRecord.Bytes + (batch.Length * BeginItem.Bytes), out var record))
            {
                return KvStepStatus.TooManySteps;
            }

            var step = lane.Add(model);
            number = step.Number;
            MemoryMarshal.Write(record, new BeginRecord { Lane = lane.Number, Count = (uint)batch.Length, Number = number });
            var items = MemoryMarshal.Cast<byte, BeginItem>(record[BeginRecord.Bytes..]);
            for (var i = 0; i < batch.Length; i++)
            {
                var sequence = _sequences[batch[i].Sequence.Handle.Index];
                items[i] = new BeginItem { Slot = (uint)sequence.Slot, NewTokens = batch[i].NewTokens };
                sequence.Begin(batch[i].NewTokens);
                step.Add(sequence);
            }

            _link.Publish();
            return KvStepStatus.Pending;
        }
    }

    /// <summary>Checks a batch as the engine would, and returns its model.</summary>
    private int CheckBatch(RemoteLane lane, ReadOnlySpan<KvStepItem> batch)
    {
        if (batch.Length == 0 || batch.Length > lane.MaxBatch)
        {
            throw new KvException(KvError.InvalidArgument, $"A batch of {batch.Length} sequences; it must have 1 to {lane.MaxBatch}.");
        }

        _batches++;
        var model = -1;
        foreach (ref readonly var item in batch)
        {
            var sequence = _sequences.Find(HandleOf(item.Sequence));
            if (item.NewTokens < 0 || item.NewTokens > SequenceCommands.MaxTokens - sequence.Tokens)
            {
                throw new KvException(KvError.InvalidArgument, $"{item.NewTokens} new tokens for a sequence of {sequence.Tokens}; a sequence holds 0 to {SequenceCommands.MaxTokens}.");
            }

            if (sequence.Batch == _batches)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} stands twice in the batch.");
            }

            if (model >= 0 && sequence.Model != model)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} is of another model than the batch's first.");
            }

            if (sequence.OpenWindows != 0 && !lane.HasWindows)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} has a window; the lane was opened without windows.");
            }

            CheckPages(lane, sequence, item.NewTokens);
            sequence.Batch = _batches;
            model = sequence.Model;
        }

        var layouts = _models[model].Shapes.Length;
        return layouts <= lane.MaxLayouts
            ? model
            : throw new KvException(KvError.InvalidArgument, $"The model has {layouts} layouts; the lane has views for {lane.MaxLayouts}.");
    }

    private void CheckPages(RemoteLane lane, RemoteSequence sequence, int newTokens)
    {
        if (lane.MaxPages == 0)
        {
            return;
        }

        foreach (ref readonly var shape in _models[sequence.Model].Shapes.AsSpan())
        {
            var pages = (sequence.Tokens + newTokens + (1 << (int)shape.TokensPerBlockShift) - 1) >> (int)shape.TokensPerBlockShift;
            if (shape.PageShift != 0 && pages > lane.MaxPages)
            {
                throw new KvException(KvError.InvalidArgument, $"Sequence {sequence.Id} would have {pages} pages; a page table of the lane holds {lane.MaxPages}.");
            }
        }
    }

    private RemoteSequence FindWithLayout(SequenceHandle handle, int layout)
    {
        var sequence = FindAnswered(handle);
        KvCacheOptions.Check(nameof(layout), layout, 0, _models[sequence.Model].Shapes.Length - 1, 1);
        return sequence;
    }

    /// <summary>The sequence, with what the daemon has told read.</summary>
    private RemoteSequence FindAnswered(SequenceHandle handle)
    {
        ThrowIfClosed();
        _link.ThrowIfLost();
        ReadAnswers();
        return _sequences.Find(handle);
    }
}
