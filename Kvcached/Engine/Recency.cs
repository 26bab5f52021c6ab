using Kvcached.Sequences;

namespace Kvcached.Engine;

/// <summary>Chooses victims: sees which sequences are used, and names them in the order in which they should go. Touches no memory.</summary>
internal interface IEvictionPolicy
{
    /// <summary>A step or a reload uses a sequence.</summary>
    void Touch(SequenceState sequence);

    /// <summary>A sequence has nothing left on the device, or ends.</summary>
    void Forget(SequenceState sequence);

    /// <summary>The sequence whose blocks should go first, or null.</summary>
    SequenceState? First();

    /// <summary>The one after.</summary>
    SequenceState? Next(SequenceState sequence);

    /// <summary>The sequence whose blocks should go last, or null.</summary>
    SequenceState? Last();

    /// <summary>The one before.</summary>
    SequenceState? Previous(SequenceState sequence);

    /// <summary>Whether a sequence was last used nearer to the first one's last use than to the last one's.</summary>
    bool IsOlderHalf(SequenceState sequence);
}

/// <summary>Least recently used first: a list through the sequences, so that a touch is O(1) and per sequence, not per block.</summary>
internal sealed class LeastRecentlyUsed(SequenceTable sequences) : IEvictionPolicy
{
    private int _oldest = -1;
    private int _newest = -1;
    private ulong _uses;

    public void Touch(SequenceState sequence)
    {
        if (sequence.Index == _newest)
        {
            return;
        }

        Forget(sequence);
        sequence.Older = _newest;
        sequence.Newer = -1;
        sequence.UsedAt = ++_uses;
        if (_newest >= 0)
        {
            sequences[_newest].Newer = sequence.Index;
        }
        else
        {
            _oldest = sequence.Index;
        }

        _newest = sequence.Index;
        sequence.IsListed = true;
    }

    public void Forget(SequenceState sequence)
    {
        if (!sequence.IsListed)
        {
            return;
        }

        if (sequence.Older >= 0)
        {
            sequences[sequence.Older].Newer = sequence.Newer;
        }
        else
        {
            _oldest = sequence.Newer;
        }

        if (sequence.Newer >= 0)
        {
            sequences[sequence.Newer].Older = sequence.Older;
        }
        else
        {
            _newest = sequence.Older;
        }

        sequence.Older = sequence.Newer = -1;
        sequence.IsListed = false;
    }

    public SequenceState? First() => At(_oldest);

    public SequenceState? Next(SequenceState sequence) => At(sequence.Newer);

    public SequenceState? Last() => At(_newest);

    public SequenceState? Previous(SequenceState sequence) => At(sequence.Older);

    public bool IsOlderHalf(SequenceState sequence) =>
        sequence.IsListed && sequence.UsedAt - sequences[_oldest].UsedAt < sequences[_newest].UsedAt - sequence.UsedAt;

    private SequenceState? At(int index) => index < 0 ? null : sequences[index];
}
