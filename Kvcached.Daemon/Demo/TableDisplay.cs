using Spectre.Console;
using Spectre.Console.Rendering;

namespace Kvcached.Daemon.Demo;

/// <summary>What has been said, above a live table with a row per run: for a terminal.</summary>
internal sealed class TableDisplay : IDemoDisplay
{
    /// <summary>Narrower terminals break the columns in the middle of numbers: they get lines.</summary>
    public const int MinWidth = 115;

    private readonly LiveDisplayContext _context;
    private readonly Table _table;
    private readonly List<string> _runs = [];
    private readonly List<IRenderable> _said = [];

    private TableDisplay(LiveDisplayContext context, Table table)
    {
        _context = context;
        _table = table;
    }

    /// <summary>Runs <paramref name="body"/> with a live table on <paramref name="console"/>.</summary>
    public static void Run(IAnsiConsole console, Action<IDemoDisplay> body)
    {
        var table = new Table { Border = TableBorder.Rounded };
        foreach (var heading in SnapshotRow.Headings)
        {
            table.AddColumn(new TableColumn(heading) { Alignment = heading == SnapshotRow.Headings[0] ? Justify.Left : Justify.Right });
        }

        console.Live(Text.Empty).Start(context => body(new TableDisplay(context, table)));
    }

    public void Say(string text)
    {
        _said.Add(new Text(text));
        _context.UpdateTarget(new Rows([.. _said, _table]));
    }

    public void Show(in RunSnapshot snapshot)
    {
        var cells = SnapshotRow.Of(snapshot).Cells;
        var row = _runs.IndexOf(snapshot.Run);
        if (row < 0)
        {
            row = _runs.Count;
            _runs.Add(snapshot.Run);
            _table.AddRow([.. cells.Select(Markup.Escape)]);
        }

        for (var i = 0; i < cells.Count; i++)
        {
            _table.UpdateCell(row, i, Markup.Escape(cells[i]));
        }

        _context.Refresh();
    }
}
