namespace Kvcached.Devices.Sim;

/// <summary>
/// What unfinished works wait for: the work before them in their queue, and for each point not yet reached the submission, or else the
/// promise, that will reach it. Checks at every submit that nothing waits for itself (I11), nor for another client (I3).
/// </summary>
internal sealed class WaitGraph(SimDevice device)
{
    private SimWork[] _stack = new SimWork[64];
    private int _depth;
    private uint _visit;

    /// <summary>
    /// Checks a work whose waits are known, and notes it as what will reach its signal. A cycle can only close through a work that
    /// something already waits for, so most works need no search.
    /// </summary>
    public void Add(SimWork work)
    {
        foreach (var wait in work.WaitSpan)
        {
            wait.Timeline.Named = Math.Max(wait.Timeline.Named, wait.Value);
        }

        var signal = work.Signal;
        var awaited = signal.Named > Math.Max(signal.Reached, signal.Submitted);
        if (work.Queue is null)
        {
            signal.Named = Math.Max(signal.Named, work.Value);
            signal.AddPromise(work);
        }
        else
        {
            signal.AddSubmission(work);
            if (device.Options.RequirePromises)
            {
                CheckPromised(work);
            }
        }

        if (awaited)
        {
            CheckAcyclic(work);
        }

        CheckOwners(work, work.Owner);
    }

    private void CheckPromised(SimWork work)
    {
        foreach (var wait in work.WaitSpan)
        {
            if (!wait.IsReached && wait.Timeline.Provider(wait.Value) is null)
            {
                device.Fail(
                    SimViolationKind.UnpromisedWait,
                    $"{work} waits for {wait.Timeline.Label}:{wait.Value}, which is not reached (it is at {wait.Timeline.Reached}), not submitted and not promised",
                    second: work.ToString());
            }
        }
    }

    /// <summary>
    /// Every work that has an owner was checked when it came, so only works without owner are looked through. A wait counts until the
    /// host has observed its point: that it has been reached by then is luck.
    /// </summary>
    private void CheckOwners(SimWork work, int owner)
    {
        if (owner == SimDevice.Unowned)
        {
            return;
        }

        foreach (var wait in work.WaitSpan)
        {
            if (wait.Value <= wait.Timeline.ObservedBy(device.Host))
            {
                continue;
            }

            var provider = wait.IsReached ? null : wait.Timeline.Provider(wait.Value);
            var other = provider?.Owner ?? (wait.IsReached ? device.OwnerOfSignal(wait.Timeline, wait.Value) : wait.Timeline.Owner);
            if (other == SimDevice.Unowned)
            {
                for (var at = provider; at is not null; at = at.Previous)
                {
                    CheckOwners(at, owner);
                }
            }
            else if (other != owner && other != SimDevice.Background)
            {
                device.Fail(
                    SimViolationKind.ForeignWait,
                    $"a wait of {(owner == SimDevice.Background ? "the background queue" : $"client {owner}")} depends on client {other}: {work} waits for {wait.Timeline.Label}:{wait.Value}, by {provider?.ToString() ?? "a signal not observed"}",
                    provider?.ToString() ?? string.Empty,
                    work.ToString());
            }
        }
    }

    private void CheckAcyclic(SimWork work)
    {
        device.Count.CycleSearches++;
        _visit++;
        _depth = 0;
        for (var at = work; ;)
        {
            if (at.Previous is not null)
            {
                Visit(at.Previous, at, work);
            }

            foreach (var wait in at.WaitSpan)
            {
                if (!wait.IsReached && wait.Timeline.Provider(wait.Value) is { } provider)
                {
                    Visit(provider, at, work);
                }
            }

            if (_depth == 0)
            {
                return;
            }

            at = _stack[--_depth];
        }
    }

    private void Visit(SimWork work, SimWork from, SimWork start)
    {
        if (work == start)
        {
            FailCycle(start, from);
        }

        if (work.Visit == _visit)
        {
            return;
        }

        work.Visit = _visit;
        work.CameFrom = from;
        if (_depth == _stack.Length)
        {
            Array.Resize(ref _stack, _depth * 2);
        }

        _stack[_depth++] = work;
    }

    private void FailCycle(SimWork start, SimWork last)
    {
        var chain = start.ToString();
        for (var at = last; at != start; at = at.CameFrom!)
        {
            chain = $"{at} → {chain}";
        }

        device.Fail(SimViolationKind.Cycle, $"{start} waits for itself: {start} → {chain}", last.ToString(), start.ToString());
    }
}
