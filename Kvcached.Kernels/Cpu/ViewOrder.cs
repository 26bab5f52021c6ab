namespace Kvcached.Kernels.Cpu;

/// <summary>What the kernels derive from a view.</summary>
internal static class ViewOrder
{
    /// <summary>Whether kernels find nothing to do.</summary>
    internal static bool IsEmpty(in SequenceView view) => (view.Flags & ViewFlags.Refused) != 0 || view.BlockCount == 0 || view.TokenCount == 0;

    /// <summary>New tokens that there are to compute.</summary>
    internal static int NewTokens(in SequenceView view) => IsEmpty(view) ? 0 : (int)view.NewTokens;

    /// <summary>First position that position <paramref name="position"/> sees.</summary>
    internal static int FirstVisible(in SequenceView view, in KvShape shape, uint windowTokens, int position)
    {
        var first = (int)(view.FirstVisibleBlock << (int)shape.TokensPerBlockShift);
        return windowTokens == 0 ? first : int.Max(first, position + 1 - (int)uint.Min(windowTokens, int.MaxValue));
    }
}
