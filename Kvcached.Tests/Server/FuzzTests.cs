using Kvcached.Bench.Fuzz;
using Xunit;

namespace Kvcached.Tests.Server;

/// <summary>Hostile clients against a real daemon. The long run is a command.</summary>
public class FuzzTests
{
    [Fact]
    public void Hostile_clients_are_disconnected_with_a_reason_and_honest_ones_notice_nothing()
    {
        var report = new FuzzRun(new FuzzOptions(Messages: 50_000, Seed: 11), say: null).Run();
        Assert.Empty(report.NotAsItMustBe());
        Assert.True(report.Messages >= 50_000 && report.ByKind.Count > 40, report.ToString());
    }
}
