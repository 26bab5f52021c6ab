namespace Kvcached.Daemon.Demo;

/// <summary>What became of contiguous windows over a run: looked at around each step that is begun.</summary>
internal sealed class WindowGrowth
{
    /// <summary>Most bytes of the pool that windows had.</summary>
    public long BytesPeak { get; private set; }

    /// <summary>Windows that went to more units while blocks were evicted to place the same step, or one served with it.</summary>
    public long GrownWhileEvicting { get; private set; }

    public void Look(in KvCacheStatistics before, in KvCacheStatistics after)
    {
        BytesPeak = Math.Max(BytesPeak, after.WindowBytes);
        if (after.EvictedBlocks > before.EvictedBlocks)
        {
            GrownWhileEvicting += after.WindowsGrown - before.WindowsGrown + after.WindowsMoved - before.WindowsMoved;
        }
    }
}
