using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Kernels;
using Kvcached.Tests.Devices;
using Kvcached.Tests.Kernels;
using Xunit;

namespace Kvcached.Tests.Demo;

/// <summary>The suite on the cpu kernels.</summary>
public sealed class CpuModelKernels() : ModelKernels(new CpuMachine());

/// <summary>The suite on an OpenCL device.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OpenClModelKernels() : ModelKernels(new OpenClMachine())
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The suite on an OpenCL device, with what GPUs run.</summary>
[TestCaseOrderer(OpenClSuite.Name, OpenClSuite.Assembly)]
public sealed class OneLaneOpenClModelKernels() : ModelKernels(new OpenClMachine(lanes: 1))
{
    [OpenClFact]
    public void The_suite_is_run()
    {
    }
}

/// <summary>The demo's kernels, matrix multiplication aside.</summary>
public abstract class ModelKernels(KernelMachine machine) : IDisposable
{
    public void Dispose()
    {
        machine.Dispose();
        GC.SuppressFinalize(this);
    }

    private const double Tolerance = 2e-6;

    [Fact]
    public void Step_rows_lists_the_new_tokens_of_each_view_and_marks_what_a_refused_view_leaves()
    {
        using var views = machine.Array<SequenceView>(
        [
            new() { TokenCount = 7, NewTokens = 3, BlockCount = 1 },
            new() { Flags = ViewFlags.Refused },
            new() { TokenCount = 1, NewTokens = 1, BlockCount = 1 },
        ]);
        using var requests = machine.Array<int>([40, 41, 42]);
        using var rows = machine.Array<RowInfo>(6);
        using var starts = machine.Array<uint>(3);
        machine.Run(StepRows.Name, new StepRowsArguments
        {
            Views = views.Address,
            Requests = requests.Address,
            RowInfos = rows.Address,
            RowStarts = starts.Address,
            Items = 3,
            Rows = 6,
        });
        Assert.Equal([(40, 4), (40, 5), (40, 6), (42, 0), (-1, 0), (-1, 0)], rows.Span.ToArray().Select(row => (row.Request, row.Position)));
        Assert.Equal([0u, 3u, 3u], starts.Span.ToArray());
    }

    [Fact]
    public void Embed_looks_up_each_rows_token_and_clears_rows_without_one()
    {
        using var rows = machine.Array<RowInfo>([new() { Request = 1, Position = 2 }, new() { Request = -1 }, new() { Request = 0, Position = 0 }]);
        using var tokens = machine.Array<int>([3, 0, 0, 0, 0, 0, 1, 0]);
        using var table = machine.Array<float>([.. Enumerable.Range(0, 4 * 16).Select(i => (float)i)]);
        using var output = machine.Array<float>(3 * 16);
        output.Span.Fill(float.NaN);
        machine.Run(Embed.Name, new EmbedArguments
        {
            RowInfos = rows.Address,
            Tokens = tokens.Address,
            Table = table.Address,
            Output = output.Address,
            TokenStride = 4,
            Rows = 3,
            Hidden = 16,
        });
        Assert.Equal(table.Span[16..32], output.Span[..16]);
        Assert.Equal(new float[16], output.Span[16..32]);
        Assert.Equal(table.Span[48..64], output.Span[32..48]);
    }

    [Fact]
    public void Rms_norm_agrees_with_float64()
    {
        const int rows = 3, hidden = 96;
        using var input = Noise(rows * hidden, seed: 1);
        using var gain = Noise(hidden, seed: 2);
        using var output = machine.Array<float>(rows * hidden);
        machine.Run(RmsNorm.Name, new RmsNormArguments { Input = input.Address, Gain = gain.Address, Output = output.Address, Rows = rows, Hidden = hidden });
        for (var row = 0; row < rows; row++)
        {
            var x = input.Span.Slice(row * hidden, hidden).ToArray();
            var scale = 1 / Math.Sqrt(x.Average(v => (double)v * v) + RmsNorm.Epsilon);
            for (var i = 0; i < hidden; i++)
            {
                AssertNear(x[i] * scale * gain.Span[i], output.Span[(row * hidden) + i]);
            }
        }
    }

    [Fact]
    public void Rope_turns_each_pair_by_position_and_frequency()
    {
        const int heads = 2, headDim = 64, positions = 50;
        using var rows = machine.Array<RowInfo>([new() { Position = 49 }, new() { Position = 0 }, new() { Position = 7 }]);
        using var table = machine.Array<float>(positions * headDim);
        Rope.FillTable(table.Span, positions, headDim);
        using var values = Noise(3 * heads * headDim, seed: 3);
        var before = values.Span.ToArray();
        machine.Run(Rope.Name, new RopeArguments { RowInfos = rows.Address, Table = table.Address, Heads = values.Address, Rows = 3, HeadCount = heads, HeadDim = headDim });
        for (var i = 0; i < before.Length; i++)
        {
            var (row, index) = (i / (heads * headDim), i % headDim);
            var pair = index % (headDim / 2);
            var angle = rows.Span[row].Position * Math.Pow(10_000, -2.0 * pair / headDim);
            var (x, y) = (before[i - index + pair], before[i - index + pair + (headDim / 2)]);
            var expected = index < headDim / 2 ? (x * Math.Cos(angle)) - (y * Math.Sin(angle)) : (x * Math.Sin(angle)) + (y * Math.Cos(angle));
            AssertNear(expected, values.Span[i]);
        }
    }

    [Fact]
    public void Swiglu_agrees_with_float64()
    {
        const int rows = 2, columns = 48;
        using var input = Noise(rows * 2 * columns, seed: 4, scale: 20);
        using var output = machine.Array<float>(rows * columns);
        machine.Run(SwiGlu.Name, new SwiGluArguments { Input = input.Address, Output = output.Address, Rows = rows, Columns = columns });
        for (var row = 0; row < rows; row++)
        {
            for (var i = 0; i < columns; i++)
            {
                double gate = input.Span[(row * 2 * columns) + i];
                double value = input.Span[(row * 2 * columns) + columns + i];
                AssertNear(gate / (1 + Math.Exp(-gate)) * value, output.Span[(row * columns) + i]);
            }
        }
    }

    [Fact]
    public void Sample_takes_the_first_largest_logit_records_it_and_leaves_the_prompt_alone()
    {
        const int vocabulary = 4, stride = 4;
        using var rows = machine.Array<RowInfo>([new() { Request = 0, Position = 0 }, new() { Request = 0, Position = 1 }, new() { Request = -1 }]);
        using var logits = machine.Array<float>([1, 5, 5, -2, -3, -4, -1, -9, 9, 9, 9, 9]);
        using var lengths = machine.Array<int>([2]);
        using var tokens = machine.Array<int>([100, 101, 0, 0]);
        using var records = machine.Array<PositionRecord>(stride);
        machine.Run(Sample.Name, new SampleArguments
        {
            RowInfos = rows.Address,
            Logits = logits.Address,
            PromptTokens = lengths.Address,
            Tokens = tokens.Address,
            Records = records.Address,
            Stride = stride,
            Rows = 3,
            Vocabulary = vocabulary,
        });
        Assert.Equal([100, 101, 2, 0], tokens.Span.ToArray());
        Assert.Equal(new PositionRecord(Sample.Hash(logits.Span[..4]), 1, 1), records.Span[0]);
        Assert.Equal(new PositionRecord(Sample.Hash(logits.Span[4..8]), 2, 1), records.Span[1]);
        Assert.Equal(default, records.Span[2]);
    }

    [Fact]
    public void A_hash_of_logits_sees_every_bit_and_their_order()
    {
        float[] logits = [1.5f, -2, 0, 3];
        var hashes = new HashSet<ulong> { Sample.Hash(logits), Sample.Hash([-2, 1.5f, 0, 3]), Sample.Hash([1.5f, -2, -0f, 3]) };
        for (var i = 0; i < logits.Length; i++)
        {
            for (var bit = 0; bit < 32; bit++)
            {
                var flipped = (float[])logits.Clone();
                flipped[i] = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(flipped[i]) ^ (1u << bit));
                hashes.Add(Sample.Hash(flipped));
            }
        }

        // One of the flips is the negative zero from above.
        Assert.Equal(2 + (4 * 32), hashes.Count);
    }

    private NativeArray<float> Noise(int count, int seed, float scale = 2)
    {
        var random = new Random(seed);
        return machine.Array<float>([.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() - 0.5f) * scale)]);
    }

    private static void AssertNear(double expected, float actual) =>
        Assert.InRange(actual, expected - (Tolerance * (1 + Math.Abs(expected))), expected + (Tolerance * (1 + Math.Abs(expected))));
}
