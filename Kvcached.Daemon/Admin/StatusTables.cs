using System.Globalization;
using Kvcached.Protocol;
using Spectre.Console;

namespace Kvcached.Daemon.Admin;

/// <summary>What a daemon holds, as tables. Sizes in MiB.</summary>
internal static class StatusTables
{
    public static Table Tenants(DaemonStatus status)
    {
        var table = Make("tenant", "resident", "clean", "cold", "min", "share", "max", "weight", "steps", "dropped", "reloaded");
        foreach (var tenant in status.Tenants)
        {
            table.AddRow(
                Name(tenant.Name), Size(tenant.ResidentBytes), Size(tenant.CleanBytes), Size(tenant.ColdBytes), Size(tenant.MinBytes), Size(tenant.ShareBytes),
                tenant.MaxBytes is { } max ? Size(max) : "-", Text(tenant.Weight), Text(tenant.Steps), Text(tenant.EvictedBlocks), Text(tenant.ReloadedBlocks));
        }

        return table;
    }

    public static Table Clients(DaemonStatus status)
    {
        var table = Make("client", "name", "tenant", "process", "state", "lanes", "sequences", "pinned");
        foreach (var client in status.Clients)
        {
            table.AddRow(
                Text(client.Number), Name(client.Name), Name(client.Tenant), client.Pid.ToString(CultureInfo.InvariantCulture), client.State, Text(client.Lanes), Text(client.Sequences),
                Size(client.PinnedBytes));
        }

        return table;
    }

    /// <summary>What has happened between two looks, by tenant.</summary>
    public static Table Top(DaemonStatus before, DaemonStatus now)
    {
        var seconds = Math.Max(1e-3, now.UptimeSeconds - before.UptimeSeconds);
        var table = Make("tenant", "resident", "clean", "cold", "quota", "steps/s", "drops/s", "reloads/s", "step p50", "step p99");
        foreach (var tenant in now.Tenants)
        {
            var old = Array.Find(before.Tenants, other => other.Name == tenant.Name);
            table.AddRow(
                Name(tenant.Name), Size(tenant.ResidentBytes), Size(tenant.CleanBytes), Size(tenant.ColdBytes),
                $"{Size(tenant.MinBytes)}..{(tenant.MaxBytes is { } max ? Size(max) : "-")}, {Text(tenant.Weight)}",
                Rate(tenant.Steps, old?.Steps), Rate(tenant.EvictedBlocks, old?.EvictedBlocks), Rate(tenant.ReloadedBlocks, old?.ReloadedBlocks),
                $"{Text((long)tenant.StepMedianMicroseconds)} us", $"{Text((long)tenant.StepSlowMicroseconds)} us");
        }

        return table;

        string Rate(long count, long? since) => Text((long)Math.Round(Math.Max(0, count - (since ?? 0)) / seconds));
    }

    private static Table Make(params ReadOnlySpan<string> columns)
    {
        var table = new Table { Border = TableBorder.Simple };
        for (var i = 0; i < columns.Length; i++)
        {
            var column = new TableColumn(columns[i]) { NoWrap = true };
            table.AddColumn(i == 0 ? column : column.RightAligned());
        }

        return table;
    }

    private static string Name(string name) => Markup.Escape(Printable.Escape(name));

    private static string Size(long bytes) => (bytes / (double)(1 << 20)).ToString("#,0.#", CultureInfo.InvariantCulture);

    private static string Text(long number) => number.ToString("#,0", CultureInfo.InvariantCulture);
}
