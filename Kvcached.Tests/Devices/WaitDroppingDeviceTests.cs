using Kvcached.Devices;
using Xunit;

namespace Kvcached.Tests.Devices;

public sealed class WaitDroppingDeviceTests : IDisposable
{
    private const int Kept = 1;
    private const int Masked = 5;
    private const int MaskedToo = 63;

    private readonly CpuDeviceFixture _inner = new(workers: 1);
    private readonly WaitDroppingDevice _device;
    private readonly DeviceQueue _queue;
    private readonly DeviceTimeline _gate;
    private readonly DeviceTimeline _done;
    private readonly CommandList _commands = new();

    public WaitDroppingDeviceTests()
    {
        _device = new WaitDroppingDevice(_inner.Device, (1ul << Masked) | (1ul << MaskedToo));
        _queue = _device.CreateQueue("queue");
        _gate = _device.CreateTimeline("gate");
        _done = _device.CreateTimeline("done");
    }

    public void Dispose() => _device.Dispose();

    [Fact]
    public void Waits_of_masked_reasons_are_dropped()
    {
        Submit(new(_gate, 1, Masked), new(_gate, 2, MaskedToo));
        Assert.True(Done(TimeSpan.FromSeconds(30)));
        Assert.Equal((1, 0), (_device.Dropped(Masked), _device.Implied(Masked)));
        Assert.Equal((1, 0), (_device.Dropped(MaskedToo), _device.Implied(MaskedToo)));
    }

    [Fact]
    public void Waits_of_other_reasons_stay()
    {
        Submit(new WaitPoint(_gate, 1, Kept));
        Assert.False(Done(TimeSpan.FromMilliseconds(20)));
        _gate.Signal(1);
        Assert.True(Done(TimeSpan.FromSeconds(30)));
        Assert.Equal((0, 0), (_device.Dropped(Kept), _device.Implied(Kept)));
    }

    [Fact]
    public void A_point_demanded_for_another_reason_too_stays_and_implies_the_dropped_wait()
    {
        Submit(new(_gate, 3, Masked), new(_gate, 3, Kept));
        _gate.Signal(2);
        Assert.False(Done(TimeSpan.FromMilliseconds(20)));
        _gate.Signal(3);
        Assert.True(Done(TimeSpan.FromSeconds(30)));
        Assert.Equal((1, 1), (_device.Dropped(Masked), _device.Implied(Masked)));
    }

    [Fact]
    public void A_smaller_value_that_stays_does_not_imply_the_dropped_wait()
    {
        var other = _device.CreateTimeline("other");
        other.Signal(9);
        Submit(new(_gate, 2, Kept), new(other, 9, Kept), new(_gate, 3, Masked));
        _gate.Signal(2);
        Assert.True(Done(TimeSpan.FromSeconds(30)));
        Assert.Equal((1, 0), (_device.Dropped(Masked), _device.Implied(Masked)));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(64)]
    public void A_reason_that_no_mask_can_name_is_a_typed_error(int reason)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Submit(new WaitPoint(_gate, 1, reason)));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.Dropped(reason));
        Assert.Throws<ArgumentOutOfRangeException>(() => _device.Implied(reason));
    }

    private void Submit(params ReadOnlySpan<WaitPoint> waits) => _queue.Submit(waits, _commands, new TimelinePoint(_done, 1));

    private bool Done(TimeSpan timeout) => _inner.Reach(new TimelinePoint(_done, 1), timeout);
}
