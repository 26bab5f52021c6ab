using Kvcached.Devices;
using Kvcached.Engine;
using Kvcached.Kernels;

namespace Kvcached.Bench.Simulation;

/// <summary>A lane of a simulated client, and the queue that its kernels run on.</summary>
internal sealed class SimulatedLane(LaneState state, DeviceQueue queue, KvShape[] shapes)
{
    public readonly LaneState State = state;
    public readonly DeviceQueue Queue = queue;

    /// <summary>Shapes of the layouts of its client's model.</summary>
    public readonly KvShape[] Shapes = shapes;

    /// <summary>Steps that wait in the engine, oldest first.</summary>
    public readonly Queue<SimulatedStep> Waiting = new();
}

/// <summary>A client of a simulated program.</summary>
internal sealed class SimulatedClient(ClientState state, int model, int layouts, ClientSetup setup)
{
    public readonly ClientState State = state;
    public readonly int Model = model;
    public readonly int Layouts = layouts;
    public readonly ClientSetup Setup = setup;
    public readonly List<SimulatedLane> Lanes = [];

    /// <summary>Whether its kernels have stopped for good; the host need not know.</summary>
    public bool IsKilled;

    /// <summary>Its sequences, each in a slot of its own: what becomes of one leaves the others where they are.</summary>
    public readonly SimulatedSequence?[] Slots = new SimulatedSequence?[ProgramSetup.MaxSequences];

    /// <summary>Whether sequences may have contiguous windows for a layout.</summary>
    public bool CanHaveWindow(int layout) => Setup.HasWindows && Setup.Layouts[layout].Window == 0;

    /// <summary>The first sequence from a slot on, around to it.</summary>
    public SimulatedSequence? Find(int slot)
    {
        for (var i = 0; i < Slots.Length; i++)
        {
            if (Slots[(slot + i) % Slots.Length] is { } sequence)
            {
                return sequence;
            }
        }

        return null;
    }

    /// <summary>The first slot without a sequence, from one on, around to it.</summary>
    public int? FreeSlot(int slot)
    {
        for (var i = 0; i < Slots.Length; i++)
        {
            if (Slots[(slot + i) % Slots.Length] is null)
            {
                return (slot + i) % Slots.Length;
            }
        }

        return null;
    }
}
