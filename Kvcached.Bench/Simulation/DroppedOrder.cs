using Kvcached.Devices.Sim;
using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

/// <summary>Where an order comes from.</summary>
public enum OrderSource
{
    /// <summary>A wait, which the access tracker derives.</summary>
    Wait,

    /// <summary>A queue, which runs its submissions in order.</summary>
    Queue,

    /// <summary>The host, which submits after having observed a timeline.</summary>
    Observed,
}

/// <summary>
/// A class of order that a run can do without, to see whether the simulation notices: <c>wait CopyOutAfterWriter</c>,
/// <c>queue lane in: lane In before lane Begin</c>, <c>observed lane End</c>. A dropped wait changes the run; the others change only what counts as ordered.
/// </summary>
/// <param name="Source">Where it comes from.</param>
/// <param name="Class">Name of a <see cref="WaitReason"/>; or labels, without numbers of lanes, of a queue and of the timelines that two submissions signal, or of a timeline.</param>
public readonly record struct DroppedOrder(OrderSource Source, string Class)
{
    /// <summary>All that there are on a device.</summary>
    public static IEnumerable<DroppedOrder> AllOf(SimDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return Enum.GetNames<WaitReason>().Except([nameof(WaitReason.None)]).Select(name => new DroppedOrder(OrderSource.Wait, name))
            .Concat(device.QueueOrders.Select(Of))
            .Concat(device.TimelineLabels.Select(label => new DroppedOrder(OrderSource.Observed, ClassOf(label))))
            .Distinct();
    }

    /// <summary>Reads what <see cref="ToString"/> writes.</summary>
    /// <exception cref="FormatException">It names no source.</exception>
    public static DroppedOrder Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Split(' ', 2) is [var source, var name] && Enum.TryParse<OrderSource>(source, ignoreCase: true, out var parsed)
            ? new DroppedOrder(parsed, name)
            : throw new FormatException($"'{text}' is no order; orders are, for example, 'wait CopyOutAfterWriter', 'queue lane in: lane In before lane Begin', 'observed lane End'.");
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Source.ToString().ToLowerInvariant()} {Class}";

    /// <summary>The waits among some orders, as a mask of their reasons.</summary>
    internal static ulong WaitsOf(IEnumerable<DroppedOrder> orders) =>
        orders.Where(order => order.Source == OrderSource.Wait).Aggregate(0UL, (mask, order) => mask | 1UL << (int)Enum.Parse<WaitReason>(order.Class));

    /// <summary>Tells which orders of queues are among some orders; null if none is.</summary>
    internal static Func<QueueOrder, bool>? QueueOrdersOf(IReadOnlyList<DroppedOrder> orders) =>
        orders.Any(order => order.Source == OrderSource.Queue) ? order => orders.Contains(Of(order)) : null;

    /// <summary>Tells by label which timelines are among some orders; null if none is.</summary>
    internal static Func<string, bool>? ObservedOf(IReadOnlyList<DroppedOrder> orders) =>
        orders.Any(order => order.Source == OrderSource.Observed) ? label => orders.Contains(new DroppedOrder(OrderSource.Observed, ClassOf(label))) : null;

    private static DroppedOrder Of(QueueOrder order) =>
        new(OrderSource.Queue, $"{ClassOf(order.Queue)}: {ClassOf(order.Earlier)} before {ClassOf(order.Later)}");

    /// <summary><c>lane 3 in</c> is of the class <c>lane in</c>.</summary>
    private static string ClassOf(string label) => string.Join(' ', label.Split(' ').Where(word => !int.TryParse(word, out _)));
}
