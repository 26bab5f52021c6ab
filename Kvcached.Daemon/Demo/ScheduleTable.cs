using System.Runtime.InteropServices;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>The request of each item of a schedule, int[Items], in device memory.</summary>
internal static class ScheduleTable
{
    public static DeviceMemory Create(IDevice device, Schedule schedule) =>
        DeviceUpload.Create(device, "schedule", (long)schedule.Items.Count * sizeof(int), staging =>
        {
            var requests = MemoryMarshal.Cast<byte, int>(staging.HostSpan(0, checked((int)staging.Bytes)));
            for (var i = 0; i < requests.Length; i++)
            {
                requests[i] = schedule.Items[i].Request;
            }
        });

    /// <summary>Address of the requests of one step.</summary>
    public static ulong AddressOf(DeviceMemory table, in PlannedStep step) => table.Address + ((ulong)step.FirstItem * sizeof(int));
}
