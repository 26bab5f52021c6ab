using System.Runtime.InteropServices;
using Kvcached.Devices;
using Kvcached.Devices.Cpu;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>Submissions that the submitting thread runs: which they are, and that order is kept.</summary>
public sealed class InlineSubmissionTests : IDisposable
{
    private const int InlineBytes = 4096;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly CpuDevice _device = new(new CpuDeviceOptions { Workers = 1, Kernels = CpuTestKernels.All, InlineBytes = InlineBytes });
    private readonly CommandList _commands = new();
    private readonly DeviceMemory _words;
    private readonly DeviceTimeline _gate;
    private readonly DeviceTimeline _done;
    private readonly CpuQueue _queue;

    public InlineSubmissionTests()
    {
        _words = _device.Allocate(4 * InlineBytes, MemoryKind.Host, "words");
        (_gate, _done) = (_device.CreateTimeline("gate"), _device.CreateTimeline("done"));
        _queue = (CpuQueue)_device.CreateQueue("queue");
    }

    public void Dispose() => _device.Dispose();

    [Fact]
    public void Small_commands_have_run_when_the_call_returns()
    {
        Word(0) = 5;
        _commands.Copy(_words, 8, _words, 0, 4);
        _commands.UpdateTable(_words, 3, 6);
        _queue.Submit([new WaitPoint(_gate, 0)], _commands, new TimelinePoint(_done, 1));
        Assert.Equal((1ul, 5, 6), (_done.Value, Word(2), Word(3)));
        Assert.Equal(0, _queue.Accepted);
    }

    [Fact]
    public void What_is_large_launches_or_waits_is_left_to_the_queue()
    {
        AssertQueued(() => _commands.Copy(_words, 0, _words, InlineBytes, InlineBytes));
        AssertQueued(() =>
        {
            for (var i = 0; i < InlineBytes / 16; i++)
            {
                _commands.Fill(_words, 16 * i, 16, 1);
            }
        });
        AssertQueued(() => _commands.Launch(_device.LoadKernel(TestKernels.AddU32), new AddArguments { Address = _words.Address, Words = 1, Addend = 1 }));
        AssertQueued(() => { }, new WaitPoint(_gate, 1));
        Assert.Equal(4, _queue.Accepted);
    }

    [Fact]
    public void Nothing_is_run_by_the_submitting_thread_where_no_bytes_are_allowed()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Workers = 1, InlineBytes = 0 });
        var (queue, done) = ((CpuQueue)device.CreateQueue("queue"), device.CreateTimeline("done"));
        queue.Submit([], _commands, new TimelinePoint(done, 1));
        Assert.True(done.WaitOnHost(1, Patience));
        Assert.Equal(1, queue.Accepted);
    }

    [Fact]
    public void A_small_submission_does_not_overtake_one_that_waits()
    {
        Word(0) = 5;
        _commands.Copy(_words, 4, _words, 0, 4);
        _queue.Submit([new WaitPoint(_gate, 1)], _commands, new TimelinePoint(_done, 1));
        _commands.Clear();
        _commands.Copy(_words, 8, _words, 4, 4);
        _queue.Submit([], _commands, new TimelinePoint(_done, 2));
        Assert.Equal(0ul, _done.Value);
        _gate.Signal(1);
        Assert.True(_done.WaitOnHost(2, Patience));
        Assert.Equal(5, Word(2));
    }

    [Fact]
    public void Submissions_of_both_kinds_run_in_order()
    {
        const int Rounds = 40 * 512;
        const int Words = 512;
        var random = new Random(1);
        for (var i = 1; i <= Rounds; i++)
        {
            // Each submission takes the word on from where the one before has put it. What is large is the queue's, and so is what comes close behind it.
            var (from, to) = ((i - 1) % Words, i % Words);
            if (from == 0)
            {
                Word(0) = i;
            }

            _commands.Clear();
            _commands.Copy(_words, 4 * to, _words, 4 * from, 4);
            _commands.UpdateTable(_words, (uint)from, 0);
            if (random.Next(3) == 0)
            {
                _commands.Copy(_words, 2 * InlineBytes, _words, 3 * InlineBytes, InlineBytes);
            }

            _queue.Submit([], _commands, new TimelinePoint(_done, (ulong)i));
            if (to == 0)
            {
                Assert.True(_done.WaitOnHost((ulong)i, Patience));
                Assert.Equal(i - Words + 1, Word(0));
            }
        }

        Assert.True(_done.WaitOnHost(Rounds, Patience));
        Assert.InRange(_queue.Accepted, Rounds / 4, Rounds - 1);
    }

    private ref int Word(int index) => ref MemoryMarshal.Cast<byte, int>(_words.HostSpan(0, (int)_words.Bytes))[index];

    private void AssertQueued(Action record, params WaitPoint[] waits)
    {
        var before = _queue.Accepted;
        var value = _done.Value + 1;
        _commands.Clear();
        record();
        _queue.Submit(waits, _commands, new TimelinePoint(_done, value));
        Assert.Equal(before + 1, _queue.Accepted);
        _gate.Signal(waits.Length == 0 ? 0 : waits[0].Value);
        Assert.True(_done.WaitOnHost(value, Patience));
        Assert.True(SpinWait.SpinUntil(() => _queue.IsPast(before + 1), Patience));
    }
}
