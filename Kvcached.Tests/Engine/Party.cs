using Kvcached.Engine;
using Kvcached.Kernels;
using Kvcached.Sequences;

namespace Kvcached.Tests.Engine;

/// <summary>A client with a model and a lane.</summary>
internal sealed record Party(EngineRig Rig, ClientState Client, int Model, LaneState Lane)
{
    public static Party Open(EngineRig rig, KvLayout? layout = null, long maxPinnedBlocks = long.MaxValue / EngineRig.BlockBytes, long maxPinnedRowBytes = long.MaxValue, TenantState? tenant = null)
    {
        var client = rig.Engine.OpenClient(maxPinnedBlocks * EngineRig.BlockBytes, maxPinnedRowBytes, tenant);
        return new Party(rig, client, rig.Register(client, layout ?? EngineRig.Layout()), rig.OpenLane(client));
    }

    public SequenceHandle Create() => Rig.Create(Client, Model);

    /// <summary>A sequence with blocks on the device and no step.</summary>
    public SequenceHandle CreateIdle(int blocks)
    {
        var sequence = Create();
        Rig.Accept(Lane, (sequence, blocks * EngineRig.TokensPerBlock));
        Rig.ObserveAll();
        return sequence;
    }
}
