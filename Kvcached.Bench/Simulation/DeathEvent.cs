namespace Kvcached.Bench.Simulation;

/// <summary>What a client was doing when it was condemned or proved gone, and what its place is used for.</summary>
public enum DeathEvent
{
    /// <summary>It had a step that was live when it was condemned.</summary>
    WithLiveStep,

    /// <summary>It had a step that waited when it was condemned.</summary>
    WithWaitingStep,

    /// <summary>It held the reservation when it was condemned.</summary>
    WithReservation,

    /// <summary>Its kernels went on after it had been condemned.</summary>
    OutlivedCondemnation,

    /// <summary>It was condemned for a step that it held past its lease.</summary>
    PastLease,

    /// <summary>It had transfers or publishes under way when it was proved gone.</summary>
    WithTransfers,

    /// <summary>It was proved gone with nothing under way.</summary>
    AtRest,

    /// <summary>The lane of a client that came later took the number of one of its lanes.</summary>
    FollowedByAnother,
}
