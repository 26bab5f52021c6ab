namespace Kvcached.Devices.OpenCl;

/// <summary>Which memory an address lies in. Changed by one thread at a time; read by any, without a lock.</summary>
internal sealed class AddressMap
{
    private Range[] _ranges = [];

    internal void Add(DeviceMemory memory) =>
        Volatile.Write(ref _ranges, [.. _ranges.Append(new Range(memory.Address, memory.Address + (ulong)memory.Bytes, memory)).OrderBy(r => r.Start)]);

    internal void Remove(DeviceMemory memory) => Volatile.Write(ref _ranges, Array.FindAll(_ranges, r => r.Memory != memory));

    /// <summary>The memory, and its address; null if there is none there.</summary>
    internal DeviceMemory? Find(ulong address, out ulong start)
    {
        var ranges = Volatile.Read(ref _ranges);
        var (low, high) = (0, ranges.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (ranges[middle].End <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == ranges.Length || ranges[low].Start > address)
        {
            start = 0;
            return null;
        }

        start = ranges[low].Start;
        return ranges[low].Memory;
    }

    private readonly record struct Range(ulong Start, ulong End, DeviceMemory Memory);
}
