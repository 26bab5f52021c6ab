using System.Globalization;
using Kvcached.Daemon.Hardware;

namespace Kvcached.Daemon.Replay;

/// <summary>What to replay, and on how much memory. Checked as a whole by <see cref="Validate"/>; 0 means "choose" where it says so.</summary>
internal sealed record ReplayOptions
{
    /// <summary>Pools and cold memory come in units of this.</summary>
    public const long UnitBytes = 2 << 20;

    /// <summary>Most device or cold memory.</summary>
    public const long MaxBytes = 1L << 40;

    /// <summary>Most requests of one run.</summary>
    public const int MaxRequests = 10_000_000;

    /// <summary>Most client processes.</summary>
    public const int MaxProcesses = 16;

    /// <summary>Most live requests.</summary>
    public const int MaxActive = 16_384;

    /// <summary>Requests of a generated workload where no number is given.</summary>
    public const int DefaultGeneratedRequests = 200;

    /// <summary>Pool where none is given.</summary>
    public static readonly PoolSize DefaultPool = PoolSize.Fixed(128L << 20);

    /// <summary>Name of the device that it runs on.</summary>
    public string Device { get; init; } = DeviceName.Cpu.ToString();

    /// <summary>The trace; null for a generated workload.</summary>
    public string? TracePath { get; init; }

    /// <summary>Requests to replay; 0 for all of the trace, or <see cref="DefaultGeneratedRequests"/>.</summary>
    public int Requests { get; init; }

    /// <summary>Device memory for blocks.</summary>
    public PoolSize Pool { get; init; } = DefaultPool;

    /// <summary>Host memory for cold copies; 0 for what the largest requests that can be live together need.</summary>
    public long ColdBytes { get; init; }

    /// <summary>Bytes per token and tokens per block.</summary>
    public ReplayLayout Layout { get; init; } = ReplayLayout.Default;

    /// <summary>How many times faster than in the trace requests arrive; infinity: all at once.</summary>
    public double Speed { get; init; } = double.PositiveInfinity;

    /// <summary>Live requests; 0 for three times what the pool holds.</summary>
    public int Active { get; init; }

    /// <summary>Seed of the generated workload and of the truncations.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Flip one bit of cold memory.</summary>
    public bool FlipBit { get; init; }

    /// <summary>Client processes that replay on one daemon; 0 for an embedded cache.</summary>
    public int Processes { get; init; }

    /// <summary>Reads a speed: a positive number, or <c>max</c>.</summary>
    /// <exception cref="UsageException">The text is neither.</exception>
    public static double ParseSpeed(string text)
    {
        if (text == "max")
        {
            return double.PositiveInfinity;
        }

        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var speed) && double.IsFinite(speed) && speed > 0
            ? speed
            : throw new UsageException($"--speed: '{text}' is neither a positive number nor 'max'.");
    }

    /// <summary>Checks the options that were given.</summary>
    /// <exception cref="UsageException">One is outside its limits; the message names both.</exception>
    public void Validate()
    {
        Pool.Validate();
        CheckCold();
        CheckRange("--requests", Requests, MaxRequests);
        CheckRange("--active", Active, MaxActive);
        CheckRange("--processes", Processes, MaxProcesses);
        if (Seed < 0)
        {
            throw new UsageException($"--seed: {Seed}; it must be between 0 and {int.MaxValue}.");
        }

        if (Processes > 0 && FlipBit)
        {
            throw new UsageException("--flip-bit: cold memory is the daemon's; leave out --processes.");
        }

        if (Layout.BlockBytes > Pool.CeilingBytes)
        {
            throw new UsageException($"--layout: a block of {Layout} has {SizeParser.Format(Layout.BlockBytes)}; the pool has {SizeParser.Format(Pool.CeilingBytes)}.");
        }
    }

    private void CheckCold()
    {
        if (ColdBytes < 0 || ColdBytes > MaxBytes || ColdBytes % UnitBytes != 0)
        {
            throw new UsageException($"--cold: {SizeParser.Format(ColdBytes)}; it must be a multiple of {SizeParser.Format(UnitBytes)}, at least {SizeParser.Format(UnitBytes)} and at most {SizeParser.Format(MaxBytes)}.");
        }
    }

    private static void CheckRange(string name, int value, int max)
    {
        if (value < 0 || value > max)
        {
            throw new UsageException($"{name}: {value}; it must be between 1 and {max}.");
        }
    }
}
