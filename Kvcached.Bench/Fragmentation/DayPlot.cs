using System.Globalization;
using System.Text;

namespace Kvcached.Bench.Fragmentation;

/// <summary>Draws what was asked for, held and pinned over the day.</summary>
internal static class DayPlot
{
    private const int Width = 960;
    private const int Height = 360;
    private const int Margin = 56;
    private const double MostMiB = 1024;

    public static string Svg(IReadOnlyList<DaySample> samples)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>\n");
        for (var mib = 0; mib <= MostMiB; mib += 256)
        {
            var y = Y(mib);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Margin}\" y1=\"{y:F1}\" x2=\"{Width - Margin}\" y2=\"{y:F1}\" stroke=\"#ddd\"/><text x=\"{Margin - 8}\" y=\"{y + 4:F1}\" text-anchor=\"end\">{mib} MiB</text>\n");
        }

        for (var hour = 0; hour <= 24; hour += 4)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(hour):F1}\" y=\"{Height - Margin + 18}\" text-anchor=\"middle\">{hour} h</text>\n");
        }

        Line(svg, samples, "#2a9d8f", "held by blocks", 0, sample => sample.Held);
        Line(svg, samples, "#e76f51", "pinned by segments", 1, sample => sample.Pinned);
        Line(svg, samples, "#999999", "asked for", 2, sample => sample.Asked);
        return svg.Append("</svg>\n").ToString();
    }

    private static void Line(StringBuilder svg, IReadOnlyList<DaySample> samples, string colour, string label, int place, Func<DaySample, long> bytesOf)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\" points=\"");
        foreach (var sample in samples)
        {
            svg.Append(CultureInfo.InvariantCulture, $"{X(sample.Hours):F1},{Y(bytesOf(sample) / 1048576.0):F1} ");
        }

        var x = Margin + (place * 180);
        svg.Append(CultureInfo.InvariantCulture, $"\"/>\n<rect x=\"{x}\" y=\"16\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{x + 18}\" y=\"26\">{label}</text>\n");
    }

    private static double X(double hours) => Margin + (hours / 24 * (Width - (2 * Margin)));

    private static double Y(double mib) => Height - Margin - (mib / MostMiB * (Height - (2 * Margin)));
}
