namespace Kvcached.Protocol;

/// <summary>The other side broke the protocol. The message says how, and is what the offender is told.</summary>
internal class ProtocolException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>What was read is a request, but no such one, or a member of it is not what it can be: it is answered with an error, and all else goes on.</summary>
internal sealed class InvalidRequestException(long id, string message, Exception inner) : ProtocolException(message, inner)
{
    /// <summary>The request's.</summary>
    public long Id { get; } = id;
}
