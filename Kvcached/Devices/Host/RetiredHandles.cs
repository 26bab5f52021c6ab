using System.Runtime.InteropServices;

namespace Kvcached.Devices.Host;

/// <summary>
/// Mappings and descriptors that their owner has let go of, and that submissions may still name by address or number. Each is kept until every queue has gone past
/// what it had accepted by then, or has ended. The device's lock guards it.
/// </summary>
internal sealed class RetiredHandles
{
    private readonly List<(SafeHandle Handle, (HostQueue Queue, long Accepted)[] Before)> _handles = [];

    /// <summary>Takes a handle over that nothing names that is submitted from now on.</summary>
    internal void Add(SafeHandle handle, IEnumerable<HostQueue> queues) =>
        _handles.Add((handle, [.. queues.Where(q => !q.IsPast(q.Accepted)).Select(q => (q, q.Accepted))]));

    /// <summary>Removes those that nothing can name any more: the caller releases them, outside the lock.</summary>
    internal SafeHandle[] Take()
    {
        if (_handles.Count == 0)
        {
            return [];
        }

        var free = _handles.Where(IsFree).Select(h => h.Handle).ToArray();
        _handles.RemoveAll(IsFree);
        return free;

        static bool IsFree((SafeHandle Handle, (HostQueue Queue, long Accepted)[] Before) entry) =>
            Array.TrueForAll(entry.Before, b => b.Queue.IsPast(b.Accepted));
    }
}
