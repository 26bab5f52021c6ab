using System.Diagnostics;
using Kvcached.Engine;
using Xunit;

namespace Kvcached.Tests.Engine;

/// <summary>The engine has no clock, thread, lock, chance or I/O of its own: the same commands and observations give the same submissions.</summary>
public class DeterminismTests
{
    private static readonly string[] _folders = ["Memory", "Tables", "Sequences", "Tiers", "Engine"];

    [Fact]
    public void The_engine_refers_to_no_clock_thread_lock_chance_or_io()
    {
        var types = typeof(CacheEngine).Assembly.GetTypes().Where(type => _folders.Any(folder => type.Namespace == $"Kvcached.{folder}")).ToArray();
        Assert.All(_folders, folder => Assert.Contains(types, type => type.Namespace == $"Kvcached.{folder}"));
        Assert.Empty(types.SelectMany(ForbiddenReferences.Of));
    }

    [Theory]
    [InlineData(typeof(ReadsTheDate), "System.DateTime")]
    [InlineData(typeof(ReadsTheStopwatch), "System.Diagnostics.Stopwatch")]
    [InlineData(typeof(ReadsTicks), "System.Environment")]
    [InlineData(typeof(Locks), "System.Threading.Monitor")]
    [InlineData(typeof(HasALock), "System.Threading.Lock")]
    [InlineData(typeof(Counts), "System.Threading.Interlocked")]
    [InlineData(typeof(HasThreads), "System.Threading.Thread")]
    [InlineData(typeof(DrawsLots), "System.Random")]
    [InlineData(typeof(ReadsAFile), "System.IO.File")]
    [InlineData(typeof(Writes), "System.Console")]
    [InlineData(typeof(Promises), "System.Threading.Tasks.Task")]
    [InlineData(typeof(DiffersByThread), "System.ThreadStaticAttribute")]
    public void What_would_make_the_engine_differ_from_run_to_run_is_found(Type sample, string reference) =>
        Assert.Contains(ForbiddenReferences.Of(sample), found => found.Contains(reference, StringComparison.Ordinal));

    [Fact]
    public void Arithmetic_collections_and_assertions_are_let_through() => Assert.Empty(ForbiddenReferences.Of(typeof(Computes)));

#pragma warning disable CA1805, CA2211, CA5394, CA1852, IDE0044, IDE0051, RCS1169, RCS1213, CS0649, CS0169, CS0414 // The samples are bad on purpose.
    private sealed class ReadsTheDate
    {
        public static bool IsLate() => DateTime.UtcNow.Hour > 20;
    }

    private sealed class ReadsTheStopwatch
    {
        public static long Now() => Stopwatch.GetTimestamp();
    }

    private sealed class ReadsTicks
    {
        public static long Now() => Environment.TickCount64;
    }

    private sealed class Locks
    {
        public static int Get(object gate)
        {
            lock (gate)
            {
                return 1;
            }
        }
    }

    private sealed class HasALock
    {
        public Lock Gate = new();
    }

    private sealed class Counts
    {
        public static int Next(ref int count) => Interlocked.Increment(ref count);
    }

    private sealed class HasThreads
    {
        public List<Thread>[] Threads = [];
    }

    private sealed class DrawsLots
    {
        public static int Next() => new Random(1).Next();
    }

    private sealed class ReadsAFile
    {
        public static bool Exists(string path) => File.Exists(path);
    }

    private sealed class Writes
    {
        public static void Say() => Console.Out.WriteLine();
    }

    private sealed class Promises
    {
        public static Task Later() => Task.CompletedTask;
    }

    private sealed class DiffersByThread
    {
        [ThreadStatic]
        public static int Value;
    }

    private sealed class Computes
    {
        private readonly Dictionary<int, List<long>> _values = [];

        public long Sum(int key)
        {
            Debug.Assert(key > 0, $"{key} is not positive.");
            return _values.TryGetValue(key, out var values) ? values.Sum() + System.Numerics.BitOperations.Log2((uint)key) : throw new InvalidOperationException();
        }
    }
#pragma warning restore CA1805, CA2211, CA5394, CA1852, IDE0044, IDE0051, RCS1169, RCS1213, CS0649, CS0169, CS0414
}
