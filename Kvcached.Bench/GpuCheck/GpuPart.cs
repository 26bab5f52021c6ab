using System.Text.Encodings.Web;
using System.Text.Json;
using Kvcached.Bench.Ratios;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>Something to find out of a GPU.</summary>
/// <param name="Name">What <c>--only</c> takes.</param>
/// <param name="Asks">What it finds out, in one line.</param>
/// <param name="Run">Finds it out.</param>
internal sealed record GpuPart(string Name, string Asks, Func<GpuRig, GpuFinding> Run)
{
    /// <summary>A ratio, measured as those of <c>ratios</c> are.</summary>
    public static GpuPart Ratio(RatioGoal goal, string asks, params Func<GpuRig, RatioSides>[] cases) => new(
        goal.Name,
        asks,
        rig =>
        {
            var result = RatioRun.Measure(new Comparison(goal, [.. cases.Select(open => (Func<RatioSides>)(() => open(rig)))]), rig.Pace);
            return new GpuFinding(result.ToJson(), result.Verdict == Verdict.Fails);
        });

    /// <summary>A ratio that nothing is demanded of.</summary>
    public static GpuPart Reported(string name, string asks, Func<GpuRig, RatioSides> open) => new(
        name,
        asks,
        rig =>
        {
            var goal = new RatioGoal(name, "ratio", double.PositiveInfinity, GoalDirection.AtMost, RatioGoal.Quotient);
            var result = RatioRun.Measure(new Comparison(goal, () => open(rig)), rig.Pace);
            return GpuFinding.Answer(
                name,
                isSo: null,
                $"{result.Value:F3}, give or take {result.Noise:F3}.",
                [new ExtraField("value", result.Value), new ExtraField("noise", result.Noise), new ExtraField("a", result.A), new ExtraField("b", result.B), .. result.Extra]);
        });
}

/// <summary>What was found: a JSON object on one line, as a line of <c>ratios</c> is.</summary>
internal sealed record GpuFinding(string Json, bool Fails)
{
    /// <summary>The answer to a question.</summary>
    /// <param name="name">The part.</param>
    /// <param name="isSo">Whether it is as the device needs it; null where there is nothing that it must be.</param>
    /// <param name="says">The answer in words.</param>
    /// <param name="figures">Figures with it.</param>
    public static GpuFinding Answer(string name, bool? isSo, string says, params IEnumerable<ExtraField> figures)
    {
        using var memory = new MemoryStream();
        using (var json = new Utf8JsonWriter(memory, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteString("verdict", isSo switch { true => "holds", false => "fails", null => "reported" });
            json.WriteString("says", says);
            foreach (var figure in figures)
            {
                json.WriteNumber(figure.Name, double.IsFinite(figure.Value) ? double.Parse(figure.Value.ToString("G5")) : -1);
            }

            json.WriteEndObject();
        }

        return new GpuFinding(System.Text.Encoding.UTF8.GetString(memory.ToArray()), isSo == false);
    }
}

/// <summary>The GPU that is asked. The device is opened when it is first needed: it compiles its kernels then. Owns both.</summary>
internal sealed class GpuRig : IDisposable
{
    private readonly Lazy<CudaDevice> _device;

    /// <summary>Opens the GPU's context.</summary>
    /// <exception cref="DeviceUnavailableException">It cannot be used; the message says what to do.</exception>
    public GpuRig(int ordinal, RatioPace pace)
    {
        (Ordinal, Pace) = (ordinal, pace);
        Context = new CudaContext(ordinal);
        _device = new Lazy<CudaDevice>(() => new CudaDevice(new CudaDeviceOptions { Ordinal = ordinal }));
    }

    public int Ordinal { get; }

    public RatioPace Pace { get; }

    public CudaContext Context { get; }

    public CudaDevice Device => _device.Value;

    public void Dispose()
    {
        if (_device.IsValueCreated)
        {
            _device.Value.Dispose();
        }

        Context.Dispose();
    }
}
