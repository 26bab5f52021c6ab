namespace Kvcached.Protocol;

/// <summary>The other side broke the protocol. The message says how, and is what the offender is told.</summary>
internal sealed class ProtocolException(string message, Exception? inner = null) : Exception(message, inner);
