using System.CommandLine;
using System.Globalization;
using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Kernels;
using Command = System.CommandLine.Command;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// <c>gpu-decode</c>: decode attention for those who compare it with something outside. With <c>--serve</c> each line on its input makes it run once and write the microseconds of
/// GPU time, so that the other side can be run in turn with it; else it runs once, for a profiler.
/// </summary>
internal static class GpuDecodeCommand
{
    private static readonly Option<int> Group = new("--group") { Description = "Query heads for each KV head (default 4).", DefaultValueFactory = _ => 4 };
    private static readonly Option<int> Context = new("--context") { Description = "Tokens of a sequence: a multiple of 512 (default 8192).", DefaultValueFactory = _ => 8192 };
    private static readonly Option<int> Batch = new("--batch") { Description = "Sequences (default 16).", DefaultValueFactory = _ => 16 };
    private static readonly Option<bool> Serve = new("--serve") { Description = "Run once for each line of the input." };
    private static readonly Option<bool> Pages = new("--pages") { Description = "Run the kernel that reads nothing but views and the table instead." };

    public static Command Create()
    {
        var command = new Command("gpu-decode", "Runs decode attention over scattered blocks on a GPU; for comparisons with other programs.") { Group, Context, Batch, Serve, Pages };
        command.SetAction(parse => Run(new GpuAttentionSize(parse.GetValue(Batch), parse.GetValue(Context), Group: parse.GetValue(Group)), parse.GetValue(Serve), parse.GetValue(Pages)));
        return command;
    }

    private static int Run(GpuAttentionSize size, bool serve, bool pages)
    {
        try
        {
            using var rig = new GpuRig(0, RatioPace.Quick);
            using var stream = new GpuStream(rig);
            using var attention = new GpuAttention(rig.Device, stream, size, ElementFormat.Float16, KvPlaces.Scattered);
            Action enqueue = pages ? attention.EnqueuePages : attention.Enqueue;
            stream.Time(enqueue);
            do
            {
                Console.WriteLine(stream.Time(enqueue).ToString("F3", CultureInfo.InvariantCulture));
                Console.Out.Flush();
            }
            while (serve && Console.In.ReadLine() is not null);
            return 0;
        }
        catch (DeviceUnavailableException error)
        {
            Console.Error.WriteLine(error.Message);
            return 2;
        }
    }
}
