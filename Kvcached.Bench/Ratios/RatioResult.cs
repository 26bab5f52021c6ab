using System.Text.Encodings.Web;
using System.Text.Json;

namespace Kvcached.Bench.Ratios;

/// <summary>What was measured of one goal: the medians of value and sides, and how far A strays from itself.</summary>
internal sealed record RatioResult
{
    public required RatioGoal Goal { get; init; }

    public required double Value { get; init; }

    /// <summary>How far from A a second A may seem to lie, in the unit of the value.</summary>
    public required double Noise { get; init; }

    public required double A { get; init; }

    public required double B { get; init; }

    public required int Runs { get; init; }

    /// <summary>Why the line fails whatever its value.</summary>
    public string? Missed { get; init; }

    /// <summary>Methods that were compiled while it was measured.</summary>
    public long CompiledMeanwhile { get; init; }

    public IReadOnlyList<ExtraField> Extra { get; init; } = [];

    public Verdict Verdict => Missed is not null ? Verdict.Fails : Goal.Judge(Value, Noise);

    /// <summary>The result that decides a goal with several cases: the worst verdict, and among equal ones the worst value.</summary>
    public static RatioResult Deciding(IReadOnlyList<RatioResult> cases) =>
        cases.OrderByDescending(result => result.Verdict)
            .ThenByDescending(result => result.Goal.Direction == GoalDirection.AtMost ? result.Value : -result.Value)
            .First();

    /// <summary>The line, without its end.</summary>
    public string ToJson()
    {
        using var memory = new MemoryStream();
        using (var json = new Utf8JsonWriter(memory, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("name", Goal.Name);
            Write(json, "value", Value);
            json.WriteString("unit", Goal.Unit);
            json.WriteNumber("goal", Goal.Goal);
            json.WriteString("direction", Goal.Direction == GoalDirection.AtMost ? "<=" : ">=");
            Write(json, "noise", Noise);
            json.WriteString("verdict", NameOf(Verdict));
            Write(json, "a", A);
            Write(json, "b", B);
            json.WriteNumber("runs", Runs);
            foreach (var field in Extra)
            {
                Write(json, field.Name, field.Value);
            }

            if (CompiledMeanwhile > 0)
            {
                json.WriteNumber("compiled_meanwhile", CompiledMeanwhile);
            }

            if (Missed is not null)
            {
                json.WriteString("missed", Missed);
            }

            json.WriteEndObject();
        }

        return System.Text.Encoding.UTF8.GetString(memory.ToArray());
    }

    private static string NameOf(Verdict verdict) => verdict switch
    {
        Verdict.Holds => "holds",
        Verdict.Fails => "fails",
        _ => "inconclusive",
    };

    // Five digits: more would be noise. JSON has no number for what was not measured.
    private static void Write(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
        {
            json.WriteNumber(name, value == 0 ? 0 : double.Parse(value.ToString("G5")));
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
