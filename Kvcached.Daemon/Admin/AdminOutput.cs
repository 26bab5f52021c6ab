using System.Text;
using Microsoft.Win32.SafeHandles;
using Spectre.Console;

namespace Kvcached.Daemon.Admin;

/// <summary>
/// Standard output of a command. Other than <see cref="Console.Out"/>, which says nothing of a pipe that nobody reads any more, it fails there, so that a command that
/// goes on and on ends.
/// </summary>
internal sealed class AdminOutput
{
    private const int StandardOutput = 1;

    /// <summary>Columns of tables that no terminal shows.</summary>
    public const int FileWidth = 160;

    /// <summary>EPIPE: whoever has read the pipe is gone.</summary>
    private const int BrokenPipe = 32;

    /// <summary>Finds out where output goes to.</summary>
    /// <exception cref="IOException">There is no standard output, here or at the first line.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public AdminOutput()
    {
        if (!Console.IsOutputRedirected)
        {
            (Text, Tables) = (Console.Out, AnsiConsole.Console);
            return;
        }

        // In a file, a stream of its own would write at a place of its own, over what others write there.
        var stream = new FileStream(new SafeFileHandle(StandardOutput, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        Text = stream.CanSeek ? Console.Out : new StreamWriter(stream, new UTF8Encoding(false));
        Tables = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Text) });
        Tables.Profile.Width = FileWidth;
    }

    public TextWriter Text { get; }

    public IAnsiConsole Tables { get; }

    public bool IsTerminal => Tables.Profile.Out.IsTerminal;

    /// <summary>Whether a failure is that nobody reads on: no failure of the command's.</summary>
    public static bool IsUnread(Exception error) => error is IOException { HResult: BrokenPipe };

    public void Flush() => Text.Flush();
}
