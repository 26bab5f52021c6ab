using System.CommandLine;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;
using Kvcached.Kernels;
using Command = System.CommandLine.Command;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// <c>gpu-check</c>: what can only be found out on a GPU: open questions first, then what must cost little. A JSON line for each part; exit 1 if one fails, 2 where there is no GPU.
/// </summary>
internal static class GpuCheckCommand
{
    private static readonly GpuAttentionSize _decode = new(Sequences: 16, Tokens: 8192);
    private static readonly GpuAttentionSize _layers = new(Sequences: 4, Tokens: 4096, Layers: 16);
    private static readonly Option<bool> List = new("--list") { Description = "Names the parts, a line each, and what they find out." };
    private static readonly Option<string?> Only = new("--only") { Description = "Names of the parts to run, separated by commas." };
    private static readonly Option<bool> Full = new("--full") { Description = $"At least {RatioPace.Full.Rounds} runs of a case instead of {RatioPace.Quick.Rounds}; the sizes stay." };
    private static readonly Option<int> Device = new("--device") { Description = "Number of the GPU, as 'kvcached devices' lists them." };

    /// <summary>All parts, in the order in which they run.</summary>
    public static IReadOnlyList<GpuPart> All { get; } =
    [
        new("words_on_memfd", "do 64-bit stream waits and writes work on a memfd that two processes have registered?", SharedWords.Memfd),
        new("words_on_read_only_memfd", "the same where the second process has it mapped for reading alone", SharedWords.ReadOnlyMemfd),
        new("words_on_vmm", "the same on memory of the GPU that the second process has imported", SharedWords.Vmm),
        new("blocked_wait", "does a stream that waits slow another one?", BlockedWait.Run),
        new("killed_peer", "what does a stream see that waits for a process which is killed?", KilledPeer.Run),
        new("vmm_page_cost", "what do create, map and set access cost for 2 MiB?", VmmPages.Measure),
        new("small_copies", "up to which size does a kernel copy faster than the copy engines?", SmallCopies.Run),
        new("graph_replay", "does a captured decode step give the same bits while blocks move?", GraphReplay.Run),
        Decode("decode_table_ordered", KvPlaces.Ordered),
        Decode("decode_table_scattered", KvPlaces.Scattered),
        GpuPart.Ratio(
            AtLeast("decode_bandwidth", 0.85),
            "bytes that decode reads each second, over those that a copy in the GPU reads and writes",
            [.. Formats.Select(format => (Func<GpuRig, RatioSides>)(rig => new GpuBandwidthSides(rig, _decode, format)))]),
        GpuPart.Ratio(AtLeast("evict_reload_bandwidth", 0.95), "clean and reload, over pinned cuMemcpyAsync of the same bytes", rig => new GpuEvictReloadSides(rig)),
        GpuPart.Ratio(AtLeast("decode_beside_transfers", 0.95), "decode steps per second beside transfers at full rate, over those at rest", rig => new GpuDecodeBesideSides(rig)),
        GpuPart.Ratio(AtMost("remap_table_vs_vmm", 0.01), "a remap by table, over create, map and set access, for 2 MiB", rig => new GpuRemapSides(rig)),
        GpuPart.Reported(
            "blocks_of_all_layers",
            "decode of all layers over blocks that hold all layers, over blocks that hold one",
            rig => new GpuDecodeSides(rig, _layers, ElementFormat.Float16, KvPlaces.Scattered, KvPlaces.ScatteredByLayer)),
    ];

    private static ElementFormat[] Formats => [ElementFormat.Float32, ElementFormat.Float16, ElementFormat.BFloat16];

    public static Command Create()
    {
        var command = new Command("gpu-check", "Finds out what can only be found out on a GPU; a JSON line for each part.") { List, Only, Full, Device };
        command.SetAction(parse => parse.GetValue(List)
            ? Names(Console.Out)
            : Run(parse.GetValue(Only), parse.GetValue(Device), parse.GetValue(Full) ? RatioPace.Full : RatioPace.Quick, Console.Out, Console.Error));
        return command;
    }

    internal static int Names(TextWriter output)
    {
        foreach (var part in All)
        {
            output.WriteLine($"{part.Name}\t{part.Asks}");
        }

        return 0;
    }

    /// <summary>Runs the parts that are named, or all, and writes a line for each. A part that breaks down does not keep the others from running.</summary>
    /// <returns>0 if all hold, 1 if one does not, 2 where a name is unknown or there is no GPU that can be used.</returns>
    internal static int Run(string? only, int ordinal, RatioPace pace, TextWriter output, TextWriter progress)
    {
        var names = only?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var parts = All.Where(part => names is null || names.Contains(part.Name)).ToList();
        if (parts.Count != (names?.Length ?? All.Count))
        {
            progress.WriteLine($"--only names {only}; there are {string.Join(", ", All.Select(part => part.Name))}.");
            return 2;
        }

        try
        {
            using var rig = new GpuRig(ordinal, pace);
            var fails = 0;
            foreach (var part in parts)
            {
                progress.WriteLine($"{part.Name} …");
                var finding = Find(part, rig);
                output.WriteLine(finding.Json);
                output.Flush();
                fails += finding.Fails ? 1 : 0;
            }

            return fails == 0 ? 0 : 1;
        }
        catch (DeviceUnavailableException error)
        {
            progress.WriteLine(error.Message);
            return 2;
        }
    }

    private static GpuFinding Find(GpuPart part, GpuRig rig)
    {
        try
        {
            return part.Run(rig);
        }
        catch (Exception error) when (error is InvalidOperationException or DeviceCallException or DeviceLostException or OutOfDeviceMemoryException or KvException)
        {
            return GpuFinding.Answer(part.Name, isSo: false, error.Message);
        }
    }

    private static GpuPart Decode(string name, KvPlaces places) => GpuPart.Ratio(
        AtMost(name, 1.01),
        "decode attention through the table, over its contiguous twin",
        [.. Formats.Select(format => (Func<GpuRig, RatioSides>)(rig => new GpuDecodeSides(rig, _decode, format, places, KvPlaces.Contiguous)))]);

    private static RatioGoal AtMost(string name, double goal) => new(name, "ratio", goal, GoalDirection.AtMost, RatioGoal.Quotient);

    private static RatioGoal AtLeast(string name, double goal) => new(name, "ratio", goal, GoalDirection.AtLeast, RatioGoal.Quotient);
}
