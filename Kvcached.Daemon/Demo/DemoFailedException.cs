namespace Kvcached.Daemon.Demo;

/// <summary>The demo could not show what it is there to show. Ends the process with exit code 1.</summary>
internal sealed class DemoFailedException(string message) : Exception(message);
