namespace Kvcached.Devices.Linux;

/// <summary>What the kernel tells of another process under <c>/proc</c>.</summary>
internal static class ProcessState
{
    /// <summary>Whether a process has been stopped by a signal or a debugger. False where that cannot be told: in another namespace of processes, for one.</summary>
    internal static bool IsStopped(int processId)
    {
        try
        {
            // The command in brackets may hold anything; what follows the last bracket is the state.
            var line = File.ReadAllText($"/proc/{processId}/stat");
            var state = line[line.LastIndexOf(')')..].AsSpan(2);
            return state.Length > 0 && state[0] is 'T' or 't';
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException)
        {
            return false;
        }
    }
}
