using Kvcached.Bench.Kill;
using Kvcached.Bench.Stress;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Real processes are killed: clients beside others that notice nothing, daemons under clients that notice at once. The long runs are commands.</summary>
public class KillTests
{
    [Fact]
    public void Clients_and_daemons_that_are_killed_leave_nothing_behind_and_others_notice_nothing()
    {
        var report = new KillRun(new KillOptions(Clients: 20, Daemons: 3, Seed: 5), say: null).Run();
        Assert.Empty(report.Failures());
        Assert.Equal((20, 3), (report.ClientsKilled, report.DaemonsKilled));
        Assert.True(report.SurvivorSteps > 100 && report.EvictedBlocks > 100, report.ToString());
    }

    [Fact]
    public void Processes_churn_under_changing_limits_compaction_and_kills_without_a_mismatch()
    {
        var report = new StressRun(TimeSpan.FromSeconds(8), processes: 3, seed: 3, say: null).Run();
        Assert.Empty(report.Failures());
    }
}
