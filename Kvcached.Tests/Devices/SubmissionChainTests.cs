using Kvcached.Devices.Host;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>A chain whose records are started by one thread and done with by another.</summary>
public sealed unsafe class SubmissionChainTests
{
    private const int Records = 30_000;

    /// <summary>Most of a chunk, so that records often begin a new one.</summary>
    private const int MostWords = 5000;

    /// <summary>More than a chunk, so that a chunk of its own is needed, and chunks that are used again are at times too small.</summary>
    private const int TooManyWords = 12_000;

    [Fact]
    public void Records_stay_whole_and_in_order_from_start_to_end()
    {
        var chain = new SubmissionChain();
        var wrong = 0;
        Thread[] threads = [new(Produce), new(Start), new(Complete)];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.Equal((0, Records, Records), (wrong, chain.Started, chain.Consumed));
        Assert.True(chain.PeekAhead() == null && chain.Peek() == null);
        chain.Free();

        void Produce()
        {
            var random = new Random(1);
            for (var n = 1ul; n <= Records; n++)
            {
                var words = random.Next(8) == 0 ? random.Next(MostWords) : random.Next(200) == 0 ? TooManyWords : random.Next(8);
                var bytes = SubmissionRecord.Measure(0, 0, words * sizeof(ulong));
                var record = chain.Reserve(bytes);
                record->Waits = record->Commands = 0;
                record->SignalValue = n;
                new Span<ulong>(SubmissionRecord.PayloadOf(record), WordsOf(bytes)).Fill(n);
                chain.Publish(bytes);
                if (n - (ulong)chain.Consumed > 100)
                {
                    Thread.Yield();
                }
            }
        }

        void Start()
        {
            for (var n = 1ul; n <= Records; n++)
            {
                SubmissionRecord* record;
                while ((record = chain.PeekAhead()) == null)
                {
                    Thread.Yield();
                }

                Check(record, n);
                chain.Start();
            }
        }

        void Complete()
        {
            for (var n = 1ul; n <= Records; n++)
            {
                while (chain.Consumed >= chain.Started)
                {
                    Thread.Yield();
                }

                Check(chain.Peek(), n);
                chain.Advance();
            }
        }

        void Check(SubmissionRecord* record, ulong n)
        {
            if (record->SignalValue != n || new Span<ulong>(SubmissionRecord.PayloadOf(record), WordsOf(record->Bytes)).ContainsAnyExcept(n))
            {
                Interlocked.Increment(ref wrong);
            }
        }
    }

    [Fact]
    public void Chunks_are_used_again()
    {
        var chain = new SubmissionChain();
        var places = new HashSet<nint>();
        var bytes = SubmissionRecord.Measure(0, 0, MostWords * sizeof(ulong));
        for (var n = 0; n < 1000; n++)
        {
            places.Add((nint)chain.Reserve(bytes));
            chain.Publish(bytes);
            Assert.True(chain.PeekAhead() != null && chain.Peek() != null);
            chain.Start();
            chain.Advance();
        }

        chain.Free();
        Assert.InRange(places.Count, 1, 4);
    }

    private static int WordsOf(int bytes) => (bytes - SubmissionRecord.HeaderBytes) / sizeof(ulong);
}
