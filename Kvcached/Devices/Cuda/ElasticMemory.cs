namespace Kvcached.Devices.Cuda;

/// <summary>
/// Memory of the GPU that comes and goes in extents. The driver maps and unmaps when it likes, and may wait for the GPU: a thread of its own asks it to, one request after the other, and signals each
/// arrival. An extent goes once nothing of it is left; what comes is filled with zeros, be it mapped anew or what is left of an extent. Thread-safe.
/// <code>
///   Discard    → extent by extent: all of it absent?  unmap, release
///   Populate   → extents without memory: create, map, set access → fill with zeros, wait → signal the arrival
///                out of memory: what this request has mapped goes again → note the refusal → signal the arrival
/// </code>
/// </summary>
internal sealed class ElasticMemory : CudaMemory
{
    /// <summary>Extents that there are at most: each is a mapping, and a client will map each.</summary>
    internal const int MostExtents = 256;

    private readonly ExtentAllocation _allocation;
    private readonly DeviceTimeline _arrivals;
    private readonly Thread _thread;

    /// <summary>Guards the requests and refusals, and is pulsed when there is a request.</summary>
    private readonly object _gate = new();
    private readonly Queue<Request> _requests = new(capacity: 4 * MostExtents);
    private readonly HashSet<ulong> _refused = [];

    /// <summary>Bytes of each extent that have no memory as far as was asked.</summary>
    private readonly long[] _absent;
    private ulong _asked;
    private bool _isStopping;

    /// <summary>Makes the memory, of which a part alone has memory from the start. May wait for the GPU.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The GPU has not got that much.</exception>
    internal ElasticMemory(CudaDevice device, ExtentAllocation allocation, DeviceTimeline arrivals, string label, long bytes, long populated)
        : base(device, allocation, label, bytes, isImported: false)
    {
        (_allocation, _arrivals) = (allocation, arrivals);
        _absent = new long[allocation.Extents];
        _absent.AsSpan().Fill(allocation.ExtentBytes);
        if (populated > 0)
        {
            Give(0, populated);
        }

        _thread = new Thread(Run) { IsBackground = true, Name = $"kvcached memory of {label}" };
        _thread.Start();
    }

    public override MemoryReturn Returns => MemoryReturn.Later;

    public override DeviceTimeline Arrivals => _arrivals;

    public override long ExtentBytes => _allocation.ExtentBytes;

    public override long PhysicalBytes => _allocation.Mapped * _allocation.ExtentBytes;

    public override bool IsRefused(ulong arrival)
    {
        lock (_gate)
        {
            return _refused.Remove(arrival);
        }
    }

    /// <summary>Bytes of an extent of a memory of so many bytes: as many as keep extents to <see cref="MostExtents"/>, and no fewer than the least.</summary>
    internal static long ExtentBytesFor(long bytes, long least)
    {
        while ((bytes + least - 1) / least > MostExtents)
        {
            least *= 2;
        }

        return least;
    }

    protected override void DiscardCore(long offset, long bytes) => Ask(offset, bytes, populates: false);

    protected override ulong PopulateCore(long offset, long bytes) => Ask(offset, bytes, populates: true);

    protected override void Dispose(bool disposing)
    {
        lock (_gate)
        {
            if (_isStopping)
            {
                return;
            }

            _isStopping = true;
            Monitor.Pulse(_gate);
        }

        // The driver may hold the thread for ever then, and everything stays.
        if (!Device.IsAbandoned)
        {
#pragma warning disable RS0030 // Teardown: what the thread maps must not be given back under it.
            _thread.Join();
#pragma warning restore RS0030
            _arrivals.Dispose();
        }

        base.Dispose(disposing);
    }

    private ulong Ask(long offset, long bytes, bool populates)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isStopping, this);
            _requests.Enqueue(new Request(offset, bytes, populates ? ++_asked : 0));
            Monitor.Pulse(_gate);
            return _asked;
        }
    }

    private void Run()
    {
        while (TryNext(out var request))
        {
            try
            {
                Do(request);
            }
            catch (Exception error)
            {
                Device.Lose($"a request for memory of {Label}", error);
                return;
            }
        }
    }

    /// <summary>Waits for a request. False once the memory is disposed: all of it goes then anyway.</summary>
    private bool TryNext(out Request request)
    {
        lock (_gate)
        {
            while (_requests.Count == 0 && !_isStopping)
            {
                Monitor.Wait(_gate);
            }

            request = _isStopping ? default : _requests.Dequeue();
            return !_isStopping;
        }
    }

    private void Do(in Request request)
    {
        if (request.Arrival == 0)
        {
            Take(request.Offset, request.Bytes);
            return;
        }

        try
        {
            Give(request.Offset, request.Bytes);
        }
        catch (OutOfDeviceMemoryException)
        {
            lock (_gate)
            {
                _refused.Add(request.Arrival);
            }
        }

        _arrivals.Signal(request.Arrival);
    }

    private void Give(long offset, long bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        Device.Context.Use();
        var (first, last) = ExtentsOf(offset, bytes);
        for (var extent = first; extent <= last; extent++)
        {
            try
            {
                if (!_allocation.IsMapped(extent))
                {
                    _allocation.Map(extent);
                }
            }
            catch (OutOfDeviceMemoryException)
            {
                UnmapAbsent(first, extent - 1);
                throw;
            }
        }

        Device.Clear(Address + (ulong)offset, bytes);
        Count(offset, bytes, -1);
    }

    private void Take(long offset, long bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        Count(offset, bytes, 1);
        Device.Context.Use();
        var (first, last) = ExtentsOf(offset, bytes);
        UnmapAbsent(first, last);
    }

    private void UnmapAbsent(int first, int last)
    {
        for (var extent = first; extent <= last; extent++)
        {
            if (_absent[extent] == _allocation.ExtentBytes && _allocation.IsMapped(extent))
            {
                _allocation.Unmap(extent);
            }
        }
    }

    private void Count(long offset, long bytes, int change)
    {
        var (first, last) = ExtentsOf(offset, bytes);
        for (var extent = first; extent <= last; extent++)
        {
            var start = extent * _allocation.ExtentBytes;
            _absent[extent] += change * (Math.Min(offset + bytes, start + _allocation.ExtentBytes) - Math.Max(offset, start));
        }
    }

    private (int First, int Last) ExtentsOf(long offset, long bytes) => ((int)(offset / _allocation.ExtentBytes), (int)((offset + bytes - 1) / _allocation.ExtentBytes));

    /// <summary>Memory is to be taken from a range, or given to it.</summary>
    private readonly record struct Request(long Offset, long Bytes, ulong Arrival);
}
