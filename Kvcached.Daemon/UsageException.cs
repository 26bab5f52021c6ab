namespace Kvcached.Daemon;

/// <summary>What the command line asks for cannot be done as asked; the message names the value and the limit, in one line whatever the value is. Ends the process with exit code 2.</summary>
internal sealed class UsageException(string message, Exception? inner = null) : Exception(Printable.Escape(message), inner);
