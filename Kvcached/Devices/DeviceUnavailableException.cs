namespace Kvcached.Devices;

/// <summary>A device cannot be opened: its library is not installed, or there is none that can be used. The message says what to do.</summary>
public sealed class DeviceUnavailableException(string message, Exception? inner = null) : Exception(message, inner);
