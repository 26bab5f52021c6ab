using Kvcached.Sequences;

namespace Kvcached.Bench.Simulation;

/// <summary>What a step must find, and what it writes: made when the step has been planned, read by its kernel.</summary>
internal sealed class Expectation
{
    public uint SequenceId;
    public bool IsRefused;
    public int NewTokens;

    /// <summary>Layouts, one bit for each, whose contiguous windows the step uses.</summary>
    public ulong Windows;

    /// <summary>Version of each token after the step.</summary>
    public uint[] Versions = new uint[64];
    public int Tokens;
}

/// <summary>One thing that a client did to a sequence and that the engine does after the steps before it.</summary>
internal readonly record struct PendingAct(SimulatedStep? Step, int Item, int TruncateTo, bool Free);

/// <summary>
/// The program's own idea of a sequence: which version of each token it wrote. Acts wait here, in order, while a step before them waits in the
/// engine.
/// </summary>
internal sealed class SimulatedSequence(SequenceHandle handle, uint id)
{
    public readonly SequenceHandle Handle = handle;
    public readonly uint Id = id;
    public readonly List<uint> Versions = [];
    public readonly Queue<PendingAct> Pending = new();
    public bool IsRefused;

    /// <summary>Layouts, one bit for each, whose contiguous windows are open.</summary>
    public ulong Windows;

    /// <summary>Tokens as the client counts them.</summary>
    public int BegunTokens;

    /// <summary>The lane of the last step that waits.</summary>
    public int PendingLane = -1;

    /// <summary>Does what no longer waits for a step.</summary>
    public void Settle(ref uint nextVersion)
    {
        while (Pending.TryPeek(out var act) && (act.Step is null || act.Step.IsResolved))
        {
            Pending.Dequeue();
            if (act.Step is { } step)
            {
                Resolve(step, act.Item, ref nextVersion);
            }
            else
            {
                IsRefused = false;
                if (act.TruncateTo < Versions.Count)
                {
                    Versions.RemoveRange(act.TruncateTo, Versions.Count - act.TruncateTo);
                }
            }
        }
    }

    private void Resolve(SimulatedStep step, int item, ref uint nextVersion)
    {
        var expectation = step.Items[item];
        IsRefused |= step.Status != KvStepStatus.Accepted;
        expectation.IsRefused = IsRefused;
        if (IsRefused)
        {
            return;
        }

        nextVersion++;
        for (var i = 0; i < expectation.NewTokens; i++)
        {
            Versions.Add(nextVersion);
        }

        expectation.Tokens = Versions.Count;
        if (expectation.Versions.Length < Versions.Count)
        {
            expectation.Versions = new uint[Versions.Count * 2];
        }

        Versions.CopyTo(expectation.Versions);
    }
}

/// <summary>A step that the program has begun.</summary>
internal sealed class SimulatedStep
{
    public readonly List<Expectation> Items = [];
    public readonly List<SimulatedSequence> Sequences = [];
    public SimulatedLane Lane = null!;
    public ulong Number;
    public KvStepStatus Status;

    public bool IsResolved => Status != KvStepStatus.Busy;
}
