namespace Kvcached.Bench.Simulation;

/// <summary>
/// Programs that are kept, by the name of what they show: a bug that the engine once had, or a fault or order that few drawn programs come to. One in
/// eight drawn programs begins with one of them. Thread-safe.
/// </summary>
public static class KeptPrograms
{
    private const ulong OneIn = 8;
    private const string Extension = ".json";

    /// <summary>All of them.</summary>
    public static IReadOnlyDictionary<string, SimulatedProgram> All { get; } = Read();

    /// <summary>
    /// The program that the one drawn from a seed begins with; null for most seeds. Each has its turn; when all had one, they run on
    /// with other interleavings, those of the seed.
    /// </summary>
    internal static SimulatedProgram? Of(ulong seed)
    {
        if (seed % OneIn != OneIn - 1)
        {
            return null;
        }

        var (round, place) = Math.DivRem(seed / OneIn, (ulong)All.Count);
        var program = All.Values.ElementAt((int)place);
        return round == 0 ? program : program with { Setup = program.Setup with { Seed = seed } };
    }

    private static SortedList<string, SimulatedProgram> Read()
    {
        var programs = new SortedList<string, SimulatedProgram>(StringComparer.Ordinal);
        var assembly = typeof(KeptPrograms).Assembly;
        foreach (var name in assembly.GetManifestResourceNames().Where(name => name.EndsWith(Extension, StringComparison.Ordinal)))
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
            programs.Add(name[..^Extension.Length], SimulatedProgram.Parse(reader.ReadToEnd()));
        }

        return programs;
    }
}
