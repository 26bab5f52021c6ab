using System.Numerics;

namespace Kvcached.Devices.Sim;

/// <summary>
/// Chooses which runnable queue goes next. A uniform choice would hardly ever meet races with a small window, so a run goes through
/// phases of random length in which some queues are favoured (they run whenever they can) and some starve (they run only when
/// nothing else can). Every runnable queue runs in the end.
/// </summary>
internal struct SimScheduler(ulong seed)
{
    private SimRandom _random = new(seed, stream: 1);
    private ulong _favoured;
    private ulong _starved;
    private int _slicesLeft;

    /// <summary>The randomness of the run: cuts of copies come from here too.</summary>
    [System.Diagnostics.CodeAnalysis.UnscopedRef]
    public ref SimRandom Random => ref _random;

    /// <summary>Picks one bit of <paramref name="runnable"/>, which is not 0.</summary>
    public int Pick(ulong runnable)
    {
        if (--_slicesLeft < 0)
        {
            StartPhase();
        }

        var candidates = runnable & _favoured;
        if (candidates == 0)
        {
            candidates = runnable & ~_starved;
            if (candidates == 0)
            {
                candidates = runnable;
            }
        }

        if ((candidates & (candidates - 1)) != 0)
        {
            for (var skip = _random.Next(BitOperations.PopCount(candidates)); skip > 0; skip--)
            {
                candidates &= candidates - 1;
            }
        }

        return BitOperations.TrailingZeroCount(candidates);
    }

    private void StartPhase()
    {
        _slicesLeft = _random.Next(1 << (2 + _random.Next(10)));
        var half = _random.Next();
        var quarter = half & _random.Next();
        var eighth = quarter & _random.Next();
        (_favoured, _starved) = _random.Next(8) switch
        {
            0 or 1 => (0ul, 0ul),
            2 => (0ul, half),
            3 => (0ul, quarter),
            4 => (0ul, eighth),
            5 => (quarter, 0ul),
            6 => (eighth, half & ~eighth),
            _ => (quarter, ~half),
        };
    }
}
