using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

/// <summary>What restores the order of a sequence leaves every block in a run as long as before or longer, told by addresses alone.</summary>
internal sealed class RunLengthCheck(EngineState state)
{
    private readonly List<int> _before = [];
    private readonly List<int> _after = [];

    /// <summary>Call before.</summary>
    public void Before(SequenceHandle handle) => Measure(handle, _before);

    /// <summary>Call after.</summary>
    /// <exception cref="InvalidOperationException">A run has become shorter.</exception>
    public void After(SequenceHandle handle)
    {
        Measure(handle, _after);
        for (var i = 0; i < _before.Count; i++)
        {
            if (_after[i] < _before[i])
            {
                throw new InvalidOperationException($"A block of sequence {handle.Index} lay in a run of {_before[i]} blocks; with its order restored, in one of {_after[i]}.");
            }
        }
    }

    /// <summary>The length of the run that each block lies in; 0 for one that is not on the device.</summary>
    private void Measure(SequenceHandle handle, List<int> lengths)
    {
        lengths.Clear();
        var sequence = state.Sequences.Find(handle)!;
        for (var r = 0; r < state.Models[sequence.Model].Layouts.Length; r++)
        {
            var row = sequence.Rows[r];
            for (var i = 0; i < row.Count;)
            {
                var end = EndOfRun(sequence, r, i);
                lengths.AddRange(Enumerable.Repeat(end - i, end - i));
                if (end == i)
                {
                    lengths.Add(0);
                    end++;
                }

                i = end;
            }
        }
    }

    private int EndOfRun(SequenceState sequence, int r, int first)
    {
        var row = sequence.Rows[r];
        var next = -1L;
        var end = first;
        for (; end < row.Count && state.Blocks[row[end]] is { IsResident: true } block; end++)
        {
            var offset = state.Pool.OffsetOf(block.Device);
            if (end > first && offset != next)
            {
                break;
            }

            next = offset + state.LayoutOf(sequence, r).BlockBytes;
        }

        return end;
    }
}
