namespace Kvcached.Daemon;

/// <summary>Mean run length over a run: blocks on the device by the runs that they lay in, added up whenever it is looked at.</summary>
internal sealed class RunLengths
{
    private long _blocks;
    private long _runs;

    /// <summary>Blocks of a run; 0 where there never was one.</summary>
    public double Mean => _runs == 0 ? 0 : Math.Round((double)_blocks / _runs, 2);

    public void Look(in KvCacheStatistics statistics)
    {
        _blocks += statistics.ResidentBlocks;
        _runs += statistics.BlockRuns;
    }
}
