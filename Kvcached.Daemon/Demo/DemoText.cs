using System.Reflection;

namespace Kvcached.Daemon.Demo;

/// <summary>The text that prompts are cut from.</summary>
internal static class DemoText
{
    /// <summary>Longest text that is read.</summary>
    public const long MaxBytes = 256L << 20;

    private const string ResourcePrefix = "docs/";

    /// <summary>The repository's documents, as they were when the program was built.</summary>
    public static ReadOnlyMemory<byte> Documents()
    {
        var assembly = Assembly.GetExecutingAssembly();
        using var text = new MemoryStream();
        foreach (var name in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
        {
            if (name.StartsWith(ResourcePrefix, StringComparison.Ordinal))
            {
                using var resource = assembly.GetManifestResourceStream(name);
                resource?.CopyTo(text);
            }
        }

        return text.Length > 0 ? text.ToArray() : throw new UsageException("The program was built without the repository's documents; name a text with --text.");
    }

    /// <summary>A file.</summary>
    /// <exception cref="UsageException">The file cannot be read, is empty or too long.</exception>
    public static ReadOnlyMemory<byte> Read(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            if (file.Length is 0 or > MaxBytes)
            {
                throw new UsageException($"--text {path} has {file.Length} bytes; it must have 1 to {MaxBytes}.");
            }

            var text = new byte[file.Length];
            file.ReadExactly(text);
            return text;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new UsageException($"--text {path} cannot be read: {error.Message}", error);
        }
    }
}
