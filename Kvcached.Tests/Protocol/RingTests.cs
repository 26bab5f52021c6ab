using System.Diagnostics;
using FsCheck;
using FsCheck.Fluent;
using Kvcached.Devices.Host;
using Kvcached.Protocol;
using Xunit;

namespace Kvcached.Tests.Protocol;

/// <summary>Rings, with a partner that keeps the protocol and with one that does not.</summary>
public sealed class RingTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly RingRig _ring = new();

    public void Dispose() => _ring.Dispose();

    [Fact]
    public void Any_sequence_of_records_comes_through_whole_and_in_order()
    {
        // A number below 0 reads; others are the size of a body to write.
        var steps = Gen.Choose(-700, RingRig.CopyBytes).ArrayOf();
        Prop.ForAll(Arb.From(steps), RunSteps).Check(Config.QuickThrowOnFailure.WithMaxTest(300).WithEndSize(400));
    }

    [Fact]
    public void Any_words_that_a_hostile_producer_writes_give_a_record_nothing_or_a_fault()
    {
        var scribbles = Gen.Zip(Gen.Choose(0, int.MaxValue), Gen.Choose(0, 60)).Select(t => (t.Item1, t.Item2));
        Prop.ForAll(Arb.From(scribbles), s => RunScribbles(s.Item1, s.Item2)).Check(Config.QuickThrowOnFailure.WithMaxTest(2000));
    }

    [Fact]
    public async Task Nothing_outside_is_read_while_the_words_change()
    {
        using var stop = new CancellationTokenSource();
        var scribbler = Task.Run(() =>
        {
            // Lengths that are right and lengths that are far too long, in turn, at places where records begin.
            while (!stop.IsCancellationRequested)
            {
                _ring.Headers.Fill(16 | 1ul << 32);
                _ring.Headers.Fill(uint.MaxValue - 7 | 1ul << 32);
            }
        });
        var (copy, read, refused) = (new byte[RingRig.CopyBytes], 0, 0);
        for (var started = Stopwatch.GetTimestamp(); (read < 500 || refused < 500) && Stopwatch.GetElapsedTime(started) < Patience;)
        {
            _ring.Tail = 64;
            _ring.Head = 0;
            var consumer = NewConsumer();
            while (consumer.TryRead(copy, out _, out var bytes) == RingStatus.Ok)
            {
                Assert.Equal(8, bytes);
                read++;
            }

            refused += consumer.Fault == RingFault.Length ? 1 : 0;
        }

        await stop.CancelAsync();
        await scribbler;
        Assert.True(read >= 500 && refused >= 500, $"{read} were read and {refused} refused.");
    }

    [Fact]
    public void A_full_ring_says_so_until_something_is_read()
    {
        for (var i = 1u; i <= 4; i++)
        {
            Assert.Equal(RingStatus.Ok, _ring.Write(i, (RingRig.Capacity / 4) - RingLayout.HeaderBytes));
        }

        Assert.Equal(RingStatus.Full, _ring.Write(5, 0));
        Assert.Equal(RingStatus.Full, _ring.Write(5, 0));
        Assert.Equal(RingStatus.Ok, _ring.Read(out _, out _));
        Assert.Equal(RingStatus.Ok, _ring.Write(5, 0));
    }

    [Fact]
    public void The_longest_record_fits_behind_any_padding()
    {
        var (copy, longest) = (new byte[RingRig.Capacity], RingLayout.MostBody(RingRig.Capacity));
        for (var i = 0; i < 600; i++)
        {
            Assert.Equal(RingStatus.Ok, _ring.Write(1, longest));
            Assert.Equal(RingStatus.Ok, _ring.Consumer.TryRead(copy, out _, out var bytes));
            Assert.Equal(longest, bytes);
            Assert.Equal(RingStatus.Ok, _ring.Write(2, 0));
            Assert.Equal(RingStatus.Ok, _ring.Consumer.TryRead(copy, out _, out _));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => _ring.Write(1, longest + 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ring.Write(RingLayout.Padding, 8));
    }

    [Fact]
    public void What_is_reserved_and_not_published_is_not_seen()
    {
        _ring.Producer.TryReserve(1, 100, out _);
        Assert.Equal(RingStatus.Empty, _ring.Read(out _, out _));
        Assert.Equal(RingStatus.Ok, _ring.Write(2, 8));
        Assert.Equal(RingStatus.Ok, _ring.Read(out var kind, out _));
        Assert.Equal(2u, kind);
        Assert.Throws<InvalidOperationException>(_ring.Producer.Publish);
    }

    [Theory]
    [InlineData(1ul << 63)]
    [InlineData(ulong.MaxValue)]
    [InlineData(RingRig.Capacity + 8ul)]
    [InlineData(4ul)]
    public void A_tail_that_cannot_be_is_a_fault_for_good(ulong tail)
    {
        _ring.Tail = tail;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
        Assert.Equal(RingFault.Tail, _ring.Consumer.Fault);
        _ring.Tail = 8;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
    }

    [Theory]
    [InlineData(0u, 1u, nameof(RingFault.Length))]
    [InlineData(4u, 1u, nameof(RingFault.Length))]
    [InlineData(12u, 1u, nameof(RingFault.Length))]
    [InlineData(2048u, 1u, nameof(RingFault.Length))]
    [InlineData(uint.MaxValue, 1u, nameof(RingFault.Length))]
    [InlineData(1032u + 8u, 1u, nameof(RingFault.TooLong))]
    [InlineData(16u, 0u, nameof(RingFault.Padding))]
    public void A_record_that_cannot_be_is_a_fault_for_good(uint bytes, uint kind, string fault)
    {
        _ring.Tail = 1040;
        _ring.Headers[0] = bytes | (ulong)kind << 32;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
        Assert.Equal(fault, _ring.Consumer.Fault.ToString());
        _ring.Headers[0] = 16 | 1ul << 32;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
        Assert.Equal(0ul, _ring.Head);
    }

    [Fact]
    public void A_record_that_would_reach_past_the_end_is_a_fault()
    {
        const int NearEnd = RingRig.Capacity - 16;
        while (_ring.Head < NearEnd)
        {
            _ring.Write(1, Math.Min(RingRig.CopyBytes, NearEnd - (int)_ring.Tail - RingLayout.HeaderBytes));
            _ring.Read(out _, out _);
        }

        _ring.Headers[NearEnd / RingLayout.Alignment] = 24 | 1ul << 32;
        _ring.Tail += 24;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
        Assert.Equal(RingFault.Length, _ring.Consumer.Fault);
    }

    [Fact]
    public void A_ring_of_nothing_but_padding_is_a_fault()
    {
        _ring.Tail = RingRig.Capacity;
        _ring.Headers[0] = RingRig.Capacity;
        Assert.Equal(RingStatus.Corrupt, _ring.Read(out _, out _));
        Assert.Equal(RingFault.Padding, _ring.Consumer.Fault);
    }

    [Theory]
    [InlineData(8ul)]
    [InlineData(1ul << 63)]
    [InlineData(ulong.MaxValue - RingRig.Capacity)]
    public void A_head_that_cannot_be_is_a_fault_for_good(ulong head)
    {
        _ring.Head = head;
        while (_ring.Write(1, 1000) == RingStatus.Ok && _ring.Tail < RingRig.Capacity)
        {
            _ring.Head = head + _ring.Tail;
        }

        Assert.Equal(RingStatus.Corrupt, _ring.Write(1, 2000));
        Assert.Equal(RingFault.Head, _ring.Producer.Fault);
        _ring.Head = _ring.Tail;
        Assert.Equal(RingStatus.Corrupt, _ring.Write(1, 2000));
    }

    [Fact]
    public void Writing_and_reading_allocate_nothing()
    {
        Turn(1);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 1u; i <= 1000; i++)
        {
            Turn(i);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Turn(uint kind)
        {
            _ring.Write(kind, (int)(kind % 900));
            _ring.Read(out _, out _);
        }
    }

    [Fact]
    public void Words_of_the_areas_lie_in_lines_of_their_own_before_the_ring_and_timelines_behind_it()
    {
        int[] daemon = [RingLayout.Attention, RingLayout.SubmissionHead, RingLayout.CompletionTail, RingLayout.CompletionSequence, RingLayout.Heartbeat, RingLayout.DaemonState];
        int[] client = [RingLayout.SubmissionTail, RingLayout.CompletionHead, RingLayout.ClientSleeps];
        Assert.All((int[][])[daemon, client], area => Assert.Equal(Enumerable.Range(0, area.Length).Select(i => 64 * i), area));
        Assert.True(RingLayout.Ring > RingLayout.DaemonState);
        Assert.Equal(4096 + 8192 + (3 * TimelineSlot.Bytes), RingLayout.TimelineAt(8192, 3));
        Assert.Equal(4 * 4096, RingLayout.AreaBytes(8192, 64));
        Assert.Equal(5 * 4096, RingLayout.AreaBytes(8192, 65));
        Assert.True(RingLayout.IsRing(4096) && RingLayout.IsRing(1 << 24));
        Assert.All((long[])[0, 2048, 4097, 12288, 1 << 25, -4096], bytes => Assert.False(RingLayout.IsRing(bytes)));
    }

    private static void RunSteps(int[] steps)
    {
        using var ring = new RingRig();
        var (waiting, number) = (new Queue<(uint Kind, int Bytes)>(), 0u);
        foreach (var step in steps)
        {
            if (step < 0)
            {
                ReadOne(ring, waiting);
            }
            else if (ring.Write(++number, step) is var status && status == RingStatus.Ok)
            {
                waiting.Enqueue((number, step));
            }
            else
            {
                Assert.Equal(RingStatus.Full, status);
                var held = (int)(ring.Tail - ring.Head);
                Assert.True(held + (2 * RingLayout.RecordBytes(step)) > RingRig.Capacity, $"{held} bytes are held, and {step} more do not fit.");
            }
        }

        while (waiting.Count > 0)
        {
            ReadOne(ring, waiting);
        }

        ReadOne(ring, waiting);
    }

    private static void ReadOne(RingRig ring, Queue<(uint Kind, int Bytes)> waiting)
    {
        var status = ring.Read(out var kind, out var body);
        if (!waiting.TryDequeue(out var written))
        {
            Assert.Equal(RingStatus.Empty, status);
            return;
        }

        Assert.Equal((RingStatus.Ok, written.Kind), (status, kind));
        Assert.Equal((written.Bytes + 7) & ~7, body.Length);
        for (var i = 0; i < body.Length; i++)
        {
            Assert.Equal(i < written.Bytes ? RingRig.ByteOf((int)kind, i) : 0, body[i]);
        }
    }

    /// <summary>A producer that keeps the protocol for a while, and then writes words at random: mostly such as nearly could be.</summary>
    private static void RunScribbles(int seed, int count)
    {
        using var ring = new RingRig();
        var random = new Random(seed);
        for (var i = random.Next(20); i > 0; i--)
        {
            ring.Write(1, random.Next(RingRig.CopyBytes));
            if (random.Next(3) > 0)
            {
                ring.Read(out _, out _);
            }
        }

        for (var i = 0; i < count; i++)
        {
            switch (random.Next(4))
            {
                case 0:
                    ring.Tail = random.Next(2) == 0 ? (ulong)random.NextInt64() : ring.Head + (ulong)random.Next(2 * RingRig.Capacity);
                    break;
                case 1:
                    ring.Tail += 8 * (ulong)random.Next(64);
                    break;
                default:
                    // Where the consumer reads next, or anywhere.
                    ring.Headers[random.Next(2) == 0 ? (int)(ring.Head % RingRig.Capacity / RingLayout.Alignment) : random.Next(ring.Headers.Length)] = (uint)(8 * random.Next(RingRig.Capacity / 6)) | (ulong)random.Next(3) << 32;
                    break;
            }

            var head = ring.Head;
            var status = ring.Read(out _, out var body);
            Assert.NotEqual(RingStatus.Full, status);
            Assert.Equal(-1, body.IndexOf(RingRig.Outside));
            Assert.InRange(ring.Head - head, 0ul, (ulong)RingRig.Capacity);
            Assert.Equal(status == RingStatus.Corrupt, ring.Consumer.Fault != RingFault.None);
        }
    }

    private unsafe RingConsumer NewConsumer()
    {
        fixed (byte* data = _ring.Data)
        fixed (ulong* tail = &_ring.Tail, head = &_ring.Head)
        {
            // The rig's memory does not move.
            return new RingConsumer(data, RingRig.Capacity, tail, head);
        }
    }
}
