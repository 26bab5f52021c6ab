using Kvcached.Devices;
using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

/// <summary>A lane of a simulated client, and the queue that its kernels run on.</summary>
internal sealed class SimulatedLane(LaneState state, DeviceQueue queue)
{
    public readonly LaneState State = state;
    public readonly DeviceQueue Queue = queue;

    /// <summary>Steps that wait in the engine, oldest first.</summary>
    public readonly Queue<SimulatedStep> Waiting = new();
}

/// <summary>A client of a simulated program.</summary>
internal sealed class SimulatedClient(ClientState state, int model, int layouts)
{
    public readonly ClientState State = state;
    public readonly int Model = model;
    public readonly int Layouts = layouts;
    public readonly List<SimulatedLane> Lanes = [];
    public readonly List<SimulatedSequence> Sequences = [];

    /// <summary>The sequence that the last operation chose.</summary>
    public SimulatedSequence? Recent;
}
