using Kvcached.Devices.Sim;
using Kvcached.Engine;
using Kvcached.Memory;

namespace Kvcached.Bench.Simulation;

/// <summary>Holds what the engine thinks of the memory behind the pool's units against what the device has, and counts the units that lose memory and get it.</summary>
internal sealed class PresenceChecks
{
    private readonly EngineState _state;
    private readonly SimMemory _pool;
    private readonly SimulationCoverage _coverage;
    private readonly bool[] _isPresent;
    private readonly bool[] _wasTrimmed;

    public PresenceChecks(EngineState state, SimMemory pool, SimulationCoverage coverage)
    {
        (_state, _pool, _coverage) = (state, pool, coverage);
        _isPresent = new bool[state.Pool.Units.Count];
        _wasTrimmed = new bool[_isPresent.Length];
        for (var unit = 0; unit < _isPresent.Length; unit++)
        {
            _isPresent[unit] = pool.IsPresent(unit * state.Options.UnitBytes);
        }
    }

    private int Floor => (int)((_state.Options.PoolFloorBytes ?? _state.Options.Pool.Bytes) / _state.Options.UnitBytes);

    /// <summary>Call after every operation and every turn.</summary>
    /// <exception cref="InvalidOperationException">The engine thinks wrongly of a unit, or there are fewer than the floor.</exception>
    public void Look()
    {
        var units = _state.Pool.Units;
        var present = 0;
        for (var start = 0; start < units.Count; start += units[start].Units)
        {
            if (!units[start].Arrival.IsNone)
            {
                // Whether it is there only the device knows; that nobody has it, everyone who looks at a free run's frontier.
                continue;
            }

            var isPresent = !units.IsAbsent(units[start]);
            present += isPresent ? units[start].Units : 0;
            for (var unit = start; unit < start + units[start].Units; unit++)
            {
                if (_pool.IsPresent(unit * _state.Options.UnitBytes) != isPresent)
                {
                    throw new InvalidOperationException($"Unit {unit} of the pool {(isPresent ? "is used without memory" : "has memory that nobody uses")}.");
                }

                Count(unit, isPresent);
            }
        }

        if (present != units.Present || present < Floor)
        {
            throw new InvalidOperationException($"{present} units of the pool have memory; the engine counts {units.Present}, the floor is {Floor}.");
        }
    }

    /// <summary>Call when a trim has come to its end.</summary>
    /// <param name="arrived">Units that had come before it was asked for, of all that ever came.</param>
    /// <exception cref="InvalidOperationException">More has memory than the floor, what blocks lie in or points that are not reached keep, and what has come since.</exception>
    public void CheckTrimmed(long arrived)
    {
        var census = new ArenaCensus(_state.Pool);
        var kept = census.UnitsOf(run => Array.Exists(run.Frontier.Points.ToArray(), point => !_state.Timelines.IsObserved(point)));
        var excess = _state.Pool.Units.Present - Math.Max(Floor, kept);
        if (excess < 0 || excess > _state.Pool.Units.Arrived - arrived)
        {
            throw new InvalidOperationException($"{_state.Pool.Units.Present} units of the pool have memory after a trim; the floor is {Floor}, and {kept} are kept.");
        }
    }

    private void Count(int unit, bool isPresent)
    {
        if (isPresent == _isPresent[unit])
        {
            return;
        }

        _isPresent[unit] = isPresent;
        _coverage.TrimmedUnits += isPresent ? 0 : 1;
        _coverage.GrownUnits += isPresent ? 1 : 0;
        _coverage.GrownAgainUnits += isPresent && _wasTrimmed[unit] ? 1 : 0;
        _wasTrimmed[unit] |= !isPresent;
    }
}
