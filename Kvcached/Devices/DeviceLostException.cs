namespace Kvcached.Devices;

/// <summary>
/// A device has stopped for good because a command failed on it; the message names the command. Queues start no further submission and
/// points not yet signalled never will be.
/// </summary>
public sealed class DeviceLostException(string message, Exception? inner = null) : Exception(message, inner);
