namespace Kvcached.Memory;

/// <summary>How units get memory that have none: asked for, refused, come.</summary>
internal sealed partial class UnitMap
{
    /// <summary>Asks for memory until so many units come, or there are no more runs of an order: for who needs several, and would ask one by one. Where memory comes later.</summary>
    public void Ask(int order, int units)
    {
        for (var before = -1; Coming > before && Coming < units;)
        {
            before = Coming;
            Ask(order);
        }
    }

    /// <summary>Asks for memory for what has none of a window of units.</summary>
    /// <returns>Whether some of it comes: the window cannot be had before.</returns>
    public bool AskWindow(int start, int order) => _memory is { ComesLater: true } && !MakePresent(start, order) && Coming > 0;

    /// <summary>Gives memory to what has none of a window. False if some of that comes later, or none is asked for.</summary>
    private bool MakePresent(int start, int order)
    {
        var isPresent = true;
        for (var unit = start; unit < start + (1 << order); unit += _units[unit].Units)
        {
            var run = _units[unit];
            if (!_absent.Contains(run))
            {
                continue;
            }

            if (IsRefused)
            {
                return false;
            }

            _absent.Remove(run);
            SplitAbsent(run, Math.Max(Math.Min(run.Order, order), LeastOrder));
            if (TryGive(run))
            {
                _ready.Add(run);
            }
            else
            {
                isPresent = false;
            }
        }

        return isPresent;
    }

    /// <summary>Asks for memory for a run of an order. Returns it where that is there at once.</summary>
    private Segment? Ask(int order)
    {
        if (IsRefused || _absent.TryTake(order) is not { } run)
        {
            return null;
        }

        SplitAbsent(run, Math.Max(order, LeastOrder));
        return TryGive(run) ? run : null;
    }

    /// <summary>Gives a run memory. False if that comes later: then it waits.</summary>
    private bool TryGive(Segment run)
    {
        var arrival = RuleFaults.Is(RuleFault.UsedWithoutMemory) || _memory is null ? default : _memory.Populate(run.StartUnit, run.Units);
        if (arrival.IsNone || RuleFaults.Is(RuleFault.UsedBeforeItCame))
        {
            Present += run.Units;
            return true;
        }

        run.Arrival = arrival;
        _lastArrival = arrival.Value;
        Asked++;
        Coming += run.Units;
        run.Frontier.Clear();
        run.Frontier.Add([arrival], _timelines);
        run.WaitingBytes = 0;
        Wait(run);
        return false;
    }

    /// <summary>Notes the arrival of a run's memory. False if it was refused.</summary>
    private bool HasCome(Segment run)
    {
        var isRefused = _memory!.IsRefused(run.Arrival) && !RuleFaults.Is(RuleFault.RefusalNotNoticed);
        run.Arrival = default;
        Coming -= run.Units;
        if (isRefused)
        {
            Refused++;
            IsRefused = true;
            return false;
        }

        Present += run.Units;
        Arrived += run.Units;
        return true;
    }

    /// <summary>Whether a run of an order, at least, comes.</summary>
    private bool IsComing(int order)
    {
        for (var run = Coming > 0 ? _waiting.Head : null; run is not null; run = run.Next)
        {
            if (!run.Arrival.IsNone && run.Order >= order)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The smallest run that memory is asked for, where there is one as large.</summary>
    private int LeastOrder => _memory?.LeastOrder ?? 0;

    private void SplitAbsent(Segment run, int order)
    {
        while (run.Order > order)
        {
            _absent.Add(Halve(run));
        }
    }
}
