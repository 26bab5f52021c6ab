using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Kvcached.Kernels;
using Xunit;

namespace Kvcached.Tests.Kernels;

/// <summary>The lookup helpers can be compiled for a GPU, and the check that says so sees what cannot.</summary>
public class IlSubsetTests
{
    [Theory]
    [InlineData(typeof(TableLookup))]
    [InlineData(typeof(SequenceView))]
    [InlineData(typeof(KvShape))]
    [InlineData(typeof(PageTable))]
    [InlineData(typeof(IEntryTable))]
    [InlineData(typeof(ViewFlags))]
    public void The_table_abi_stays_in_the_subset_that_gpu_compilers_take(Type type) => Assert.Empty(IlSubset.Check(type));

    [Theory]
    [InlineData(nameof(Samples.Throws), "throw")]
    [InlineData(nameof(Samples.ThrowsThroughAHelper), "ThrowIfNegative")]
    [InlineData(nameof(Samples.Clamps), "Clamp")]
    [InlineData(nameof(Samples.Catches), "exception region")]
    [InlineData(nameof(Samples.CreatesAnObject), "newobj of class")]
    [InlineData(nameof(Samples.CreatesAnArray), "newarr")]
    [InlineData(nameof(Samples.Boxes), "box")]
    [InlineData(nameof(Samples.ReadsUnaligned), "Unsafe.ReadUnaligned")]
    [InlineData(nameof(Samples.TakesASpan), "Span")]
    [InlineData(nameof(Samples.AllocatesOnTheStack), "localloc")]
    [InlineData(nameof(Samples.ReadsAMutableStatic), "mutable static")]
    [InlineData(nameof(Samples.WritesAStatic), "stsfld")]
    [InlineData(nameof(Samples.CallsADelegate), "virtual call")]
    [InlineData(nameof(Samples.MakesADelegate), "ldftn")]
    [InlineData(nameof(Samples.TakesAnInterface), "class IEntryTable")]
    [InlineData(nameof(Samples.IsGenericOverClasses), "may be a class")]
    [InlineData(nameof(Samples.UsesHalf), "Half")]
    [InlineData(nameof(Samples.UsesAnAddress), "address type")]
    [InlineData(nameof(Samples.IsChecked), ".ovf")]
    [InlineData(nameof(Samples.UsesExplicitLayout), "struct Overlaid")]
    [InlineData(nameof(Samples.UsesAString), "ldstr")]
    [InlineData(nameof(Samples.CallsWhatThrows), "throw")]
    [InlineData(nameof(Samples.ReadsVolatile), "Volatile.Read")]
    public void What_gpu_compilers_reject_is_found(string sample, string violation) =>
        Assert.Contains(IlSubset.Check(Method(sample)), found => found.Contains(violation, StringComparison.Ordinal));

    [Theory]
    [InlineData(nameof(Samples.LoopsAndSwitches))]
    [InlineData(nameof(Samples.ReadsATable))]
    [InlineData(nameof(Samples.CreatesAStruct))]
    public void What_gpu_compilers_accept_is_let_through(string sample) => Assert.Empty(IlSubset.Check(Method(sample)));

    private static MethodInfo Method(string name) =>
        typeof(Samples).GetMethod(name, BindingFlags.Static | BindingFlags.NonPublic)!;

    [StructLayout(LayoutKind.Explicit)]
    private struct Overlaid
    {
        [FieldOffset(0)]
        public uint Whole;

        [FieldOffset(0)]
        public byte Low;
    }

    private readonly struct Pair(uint first, uint second)
    {
        public readonly uint First = first;
        public readonly uint Second = second;
    }

#pragma warning disable IDE0044, RCS1169, CA1802 // The samples are bad on purpose.
    private static class Samples
    {
        private static readonly uint Constant = (uint)Environment.ProcessorCount;
        private static uint _mutable = 1;

        internal static uint Throws(uint a) => a == 0 ? throw new InvalidOperationException() : a;

        internal static int ThrowsThroughAHelper(int a)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(a);
            return a;
        }

        internal static int Clamps(int a) => Math.Clamp(a, 0, 3);

        internal static uint Catches(uint a)
        {
            try
            {
                return 1 / a;
            }
            catch (DivideByZeroException)
            {
                return 0;
            }
        }

        internal static bool CreatesAnObject(uint a) => new object().Equals(a);

        internal static int CreatesAnArray(int a) => (new int[a])[0];

        internal static bool Boxes(uint a) => Equals(a, Constant);

        internal static uint ReadsUnaligned(ref byte a) => Unsafe.ReadUnaligned<uint>(ref a);

        internal static int TakesASpan(ReadOnlySpan<int> a) => a[0];

        internal static unsafe int AllocatesOnTheStack(int a)
        {
            var memory = stackalloc int[a];
            return memory[0];
        }

        internal static uint ReadsAMutableStatic(uint a) => _mutable + a;

        internal static void WritesAStatic(uint a) => _mutable = a;

        internal static uint CallsADelegate(Func<uint> a) => a();

        internal static Func<uint> MakesADelegate() => static () => 1;

        internal static uint TakesAnInterface(IEntryTable a) => a.Read(0);

        internal static uint IsGenericOverClasses<T>(T a)
            where T : IEntryTable => a.Read(0);

        internal static float UsesHalf(Half a) => (float)a;

        internal static nint UsesAnAddress(nint a) => a + 1;

        internal static int IsChecked(int a) => checked(a + 1);

        internal static uint UsesExplicitLayout(Overlaid a) => a.Whole + a.Low;

        internal static int UsesAString() => "text".Length;

        internal static uint CallsWhatThrows(uint a) => Throws(a) + 1;

        internal static uint ReadsVolatile(ref uint a) => Volatile.Read(ref a);

        internal static int LoopsAndSwitches(in KvShape shape, int a)
        {
            var sum = 0;
            for (var i = 0; i < a; i++)
            {
                sum += (i & 3) switch
                {
                    0 => Math.Min(i, (int)shape.Heads),
                    1 => Math.Max(i, a),
                    2 => System.Numerics.BitOperations.PopCount((uint)i),
                    _ => i,
                };
            }

            return sum;
        }

        internal static ulong ReadsATable<T>(T table, in SequenceView view, in KvShape shape)
            where T : struct, IEntryTable => TableLookup.Offset(table, view, shape, 1, 2, 3, 4);

        internal static uint CreatesAStruct(uint a)
        {
            var pair = new Pair(a, a + 1);
            return pair.First + pair.Second + Constant;
        }
    }
#pragma warning restore IDE0044, RCS1169, CA1802
}
