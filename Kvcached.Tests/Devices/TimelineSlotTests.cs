using System.Runtime.CompilerServices;
using Kvcached.Devices;
using Kvcached.Devices.Host;
using Xunit;

namespace Kvcached.Tests.Devices;

/// <summary>A timeline's words by themselves, as processes and devices find them.</summary>
public class TimelineSlotTests
{
    [Fact]
    public void A_timeline_where_another_was_has_nothing_under_way()
    {
        var slots = GC.AllocateArray<TimelineSlot>(1, pinned: true);
        slots[0].Issue(7);
        slots[0].Begin(2, waiters: 0);
        Assert.Equal(0ul, slots[0].Issued);
        Assert.Equal(2ul, slots[0].Value);
    }

    /// <summary>A device that waits for v compares as (signed)(word - v) &gt;= 0, so what is no value would hold it for ever.</summary>
    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 63)]
    [InlineData(DeviceTimeline.MaxValue + 1)]
    public void Poison_makes_a_value_of_what_another_process_wrote(ulong written)
    {
        var slots = GC.AllocateArray<TimelineSlot>(1, pinned: true);
        ref var word = ref Unsafe.As<TimelineSlot, ulong>(ref slots[0]);
        word = written;
        slots[0].Poison(5, BellAccess.Shared);
        Assert.Equal(DeviceTimeline.MaxValue, word);
    }
}
