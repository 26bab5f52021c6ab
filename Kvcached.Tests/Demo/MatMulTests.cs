using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Tests.Kernels;
using Xunit;

namespace Kvcached.Tests.Demo;

public class MatMulTests
{
    private const int Depth = 160;
    private const int Columns = 96;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(31)]
    public void Every_row_has_the_same_bits_whatever_the_number_of_rows(int rows)
    {
        using var problem = new Problem(rows: 32);
        var all = problem.Multiply(0, 32);
        for (var first = 0; first + rows <= 32; first += 5)
        {
            Assert.Equal(all[(first * Columns)..((first + rows) * Columns)], problem.Multiply(first, rows));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(12)]
    [InlineData(27)]
    public void Agrees_with_float64(int rows)
    {
        using var problem = new Problem(rows);
        var result = problem.Multiply(0, rows);
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < Columns; column++)
            {
                var (sum, size) = problem.Reference(row, column);
                Assert.InRange(result[(row * Columns) + column], sum - (size * 1e-5), sum + (size * 1e-5));
            }
        }
    }

    [Fact]
    public void Accumulating_adds_the_product_to_what_is_there()
    {
        using var problem = new Problem(rows: 13);
        var product = problem.Multiply(0, 13);
        var residual = Enumerable.Range(0, product.Length).Select(i => i * 0.25f).ToArray();
        var result = problem.Multiply(0, 13, residual);
        Assert.Equal(product.Zip(residual, (x, y) => x + y), result);
    }

    [Fact]
    public void No_rows_are_no_items()
    {
        using var problem = new Problem(rows: 1);
        Assert.Empty(problem.Multiply(0, 0));
    }

    private sealed class Problem : IDisposable
    {
        private readonly float[] _weights = new float[Depth * Columns];
        private readonly NativeArray<float> _input;
        private readonly NativeArray<float> _packed = new(Depth * Columns);

        public Problem(int rows)
        {
            var random = new Random(rows);
            _input = new NativeArray<float>(rows * Depth);
            foreach (ref var x in _input.Span)
            {
                x = random.NextSingle() - 0.5f;
            }

            foreach (ref var w in _weights.AsSpan())
            {
                w = random.NextSingle() - 0.5f;
            }

            MatMul.Pack(_weights, Depth, Columns, _packed.Span);
        }

        public float[] Multiply(int firstRow, int rows, float[]? residual = null)
        {
            using var output = new NativeArray<float>(rows * Columns);
            residual?.CopyTo(output.Span);
            CpuKernelRun.Of(MatMul.Kernel, new MatMulArguments
            {
                Input = _input.Address + ((ulong)(firstRow * Depth) * sizeof(float)),
                Weights = _packed.Address,
                Output = output.Address,
                Rows = rows,
                Depth = Depth,
                Columns = Columns,
                Accumulate = residual is null ? 0 : 1,
            });
            return output.Span.ToArray();
        }

        public (double Sum, double Size) Reference(int row, int column)
        {
            var (sum, size) = (0.0, 0.0);
            for (var k = 0; k < Depth; k++)
            {
                var product = (double)_input.Span[(row * Depth) + k] * _weights[(k * Columns) + column];
                sum += product;
                size += Math.Abs(product);
            }

            return (sum, size);
        }

        public void Dispose()
        {
            _input.Dispose();
            _packed.Dispose();
        }
    }
}
