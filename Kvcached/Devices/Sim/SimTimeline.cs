using System.Buffers;

namespace Kvcached.Devices.Sim;

/// <summary>
/// A timeline that remembers, for each value signalled, what had happened before that signal: a wait for a value joins what the signal
/// of that value carried, and not what later signals carried, although they may have come by the time the wait is over.
/// </summary>
internal sealed class SimTimeline : DeviceTimeline
{
    private readonly SimDevice _device;

    /// <summary>Signals that advanced the value, oldest first: parallel arrays.</summary>
    private ulong[] _values = [];
    private VectorClock[] _clocks = [];
    private byte[] _actors = [];
    private int _count;

    /// <summary>The highest value that each host has read.</summary>
    private ulong[] _observed = new ulong[1];

    private readonly WorkList _submitted = new();
    private readonly WorkList _promised = new();

    public SimTimeline(SimDevice device, string label, int number, int owner)
        : base(label)
    {
        _device = device;
        Number = number;
        Owner = owner;
        ForgetsObservation = device.Options.ForgetsObservation?.Invoke(label) ?? false;
    }

    public SimDevice Device => _device;

    public int Number { get; }

    /// <summary>Whether observing a value orders nothing that is submitted later.</summary>
    public bool ForgetsObservation { get; }

    /// <summary>The client that signals this timeline.</summary>
    public int Owner { get; set; }

    /// <summary>The true value, which hosts may see late.</summary>
    public ulong Reached { get; private set; }

    /// <summary>The highest value that a wait or a promise has named.</summary>
    public ulong Named { get; set; }

    /// <summary>The highest value that a submission was to signal.</summary>
    public ulong Submitted { get; private set; }

    /// <summary>Queues whose first work waits here.</summary>
    public ulong Blocked { get; set; }

    public override ulong Value => _device.Observe(this);

    public override void Signal(ulong value) => _device.SignalFromHost(this, value);

    /// <summary>Not supported: nothing runs by itself on a simulated device, so nothing would ever end the wait.</summary>
    public override bool WaitOnHost(ulong value, TimeSpan timeout) =>
        throw new NotSupportedException("A simulated device runs nothing by itself: run slices until the point is reached.");

    public ulong ObservedBy(int host) => host < _observed.Length ? _observed[host] : 0;

    public void SetObserved(int host, ulong value)
    {
        if (host >= _observed.Length)
        {
            Array.Resize(ref _observed, host + 1);
        }

        _observed[host] = value;
    }

    /// <summary>Advances the value. The caller has checked that it does.</summary>
    public void Advance(ulong value, int actor, ref readonly VectorClock clock)
    {
        if (_count == _values.Length)
        {
            MakeRoom();
        }

        _values[_count] = value;
        _actors[_count] = (byte)actor;
        _clocks[_count++] = clock;
        Reached = value;
        _promised.RemoveUpTo(value);
    }

    /// <summary>What the signal that reaches <paramref name="value"/> carried. The value has been reached and is not 0.</summary>
    public ref readonly VectorClock ClockOf(ulong value) => ref _clocks[IndexOf(value)];

    /// <summary>Who gave the signal that reaches <paramref name="value"/>.</summary>
    public int ActorOf(ulong value) => _actors[IndexOf(value)];

    /// <summary>A value that was reached after <paramref name="from"/>, for a host that sees late.</summary>
    public ulong ReachedAfter(ulong from, ref SimRandom random)
    {
        var first = IndexOf(from + 1);
        return _values[first + random.Next(_count - first)];
    }

    /// <summary>The work that will reach <paramref name="value"/>: the submission or else the promise of the lowest value that does; null if none.</summary>
    public SimWork? Provider(ulong value) => _submitted.LowestFrom(value) ?? _promised.LowestFrom(value);

    public void AddSubmission(SimWork work)
    {
        _submitted.Add(work);
        _promised.RemoveUpTo(work.Value);
        Submitted = Math.Max(Submitted, work.Value);
    }

    public void RemoveSubmission(SimWork work) => _submitted.Remove(work);

    public void AddPromise(SimWork work) => _promised.Add(work);

    protected override void Dispose(bool disposing)
    {
    }

    /// <summary>Gives the storage back; the device is gone.</summary>
    internal void Release()
    {
        if (_values.Length > 0)
        {
            ArrayPool<ulong>.Shared.Return(_values);
            ArrayPool<VectorClock>.Shared.Return(_clocks);
            ArrayPool<byte>.Shared.Return(_actors);
            _values = [];
            _clocks = [];
            _actors = [];
        }

        _promised.RemoveUpTo(ulong.MaxValue);
    }

    private int IndexOf(ulong value)
    {
        var low = 0;
        var high = _count - 1;
        if (high > 0 && _values[high - 1] < value)
        {
            return high;
        }

        while (low < high)
        {
            var middle = (low + high) >> 1;
            if (_values[middle] < value)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>
    /// Forgets signals that nobody can ask for any more: every host hands on a later one, so whatever is submitted from now on knows more
    /// than they carried, and no work under way waits for them. Grows where that does not free half.
    /// </summary>
    private void MakeRoom()
    {
        var kept = 0;
        if (_count > 0)
        {
            var awaited = _device.LowestWait(this);
            while (kept + 1 < _count && _values[kept] < awaited && _device.HostsHandOn(_actors[kept + 1], _clocks[kept + 1][_actors[kept + 1]]))
            {
                kept++;
            }
        }

        var left = _count - kept;
        var (values, clocks, actors) = (_values, _clocks, _actors);
        if (left * 2 > _count || _count == 0)
        {
            var capacity = Math.Max(16, _count * 2);
            _values = ArrayPool<ulong>.Shared.Rent(capacity);
            _clocks = ArrayPool<VectorClock>.Shared.Rent(capacity);
            _actors = ArrayPool<byte>.Shared.Rent(capacity);
        }

        Array.Copy(values, kept, _values, 0, left);
        Array.Copy(clocks, kept, _clocks, 0, left);
        Array.Copy(actors, kept, _actors, 0, left);
        _count = left;
        if (values != _values && values.Length > 0)
        {
            ArrayPool<ulong>.Shared.Return(values);
            ArrayPool<VectorClock>.Shared.Return(clocks);
            ArrayPool<byte>.Shared.Return(actors);
        }
    }
}

/// <summary>Works that signal one timeline, in the order in which they came: mostly few, mostly rising in value.</summary>
internal sealed class WorkList
{
    private SimWork[] _works = new SimWork[4];
    private int _first;
    private int _count;

    public void Add(SimWork work)
    {
        if (_first + _count == _works.Length)
        {
            var works = _count * 2 > _works.Length ? new SimWork[_works.Length * 2] : _works;
            Array.Copy(_works, _first, works, 0, _count);
            _works = works;
            _first = 0;
        }

        _works[_first + _count++] = work;
    }

    public void Remove(SimWork work)
    {
        if (_works[_first] == work)
        {
            _first++;
            _count--;
            return;
        }

        var index = Array.IndexOf(_works, work, _first, _count);
        _count--;
        Array.Copy(_works, index + 1, _works, index, _first + _count - index);
    }

    /// <summary>Returns to the pool the promises of values that have a better provider now.</summary>
    public void RemoveUpTo(ulong value)
    {
        for (var i = _first; i < _first + _count; i++)
        {
            if (_works[i].Value <= value)
            {
                var work = _works[i];
                Remove(work);
                work.Return();
                i = _first - 1;
            }
        }
    }

    public SimWork? LowestFrom(ulong value)
    {
        SimWork? lowest = null;
        for (var i = _first; i < _first + _count; i++)
        {
            var work = _works[i];
            if (work.Value >= value && (lowest is null || work.Value < lowest.Value))
            {
                lowest = work;
            }
        }

        return lowest;
    }
}
