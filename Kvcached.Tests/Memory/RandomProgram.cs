using FsCheck;
using FsCheck.Fluent;

namespace Kvcached.Tests.Memory;

/// <summary>A random program: numbers that a property reads one after another to decide what to do. It ends where the numbers do.</summary>
internal sealed class RandomProgram(int[] numbers)
{
    private int _next;

    public bool IsDone => _next >= numbers.Length;

    /// <summary>Runs a property on many programs; a failing one is shrunk to what it needs.</summary>
    public static void CheckAll(int programs, int length, Action<RandomProgram> property)
    {
        var arbitrary = Arb.From(Gen.Choose(0, int.MaxValue - 1).ArrayOf(length), Shrink);
        Prop.ForAll(arbitrary, numbers => property(new RandomProgram(numbers))).Check(Config.QuickThrowOnFailure.WithMaxTest(programs));
    }

    /// <summary>A number from 0 to below <paramref name="count"/>; 0 after the end.</summary>
    public int Next(int count) => IsDone ? 0 : numbers[_next++] % count;

    public bool Chance(int percent) => Next(100) < percent;

    private static IEnumerable<int[]> Shrink(int[] numbers)
    {
        for (var piece = (numbers.Length + 1) / 2; piece > 0 && numbers.Length > 0; piece = piece == 1 ? 0 : (piece + 1) / 2)
        {
            for (var start = 0; start < numbers.Length; start += piece)
            {
                var end = Math.Min(start + piece, numbers.Length);
                yield return [.. numbers[..start], .. numbers[end..]];
            }
        }
    }
}
