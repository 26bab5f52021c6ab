namespace Kvcached.Daemon.Serve;

/// <summary>What somebody has given for a setting.</summary>
/// <param name="Origin">Which setting, and where: the flag, the variable, or the key and the file.</param>
/// <param name="Shown">The value as a message shows it.</param>
/// <param name="Text">The value as text; null where it is of a kind that no setting has, as a list is.</param>
internal sealed record GivenText(string Origin, string Shown, string? Text)
{
    private const int LongestShown = 80;

    public static GivenText Of(string origin, string text) => new(origin, $"'{text}'", text);

    /// <summary>Reads the value.</summary>
    /// <param name="read">Null, or a <see cref="UsageException"/>, for what is no such value.</param>
    /// <param name="allowed">What the value may be.</param>
    /// <exception cref="UsageException">It is none; the message says which setting, its value and what it may be.</exception>
    public T Read<T>(Func<string, T?> read, string allowed)
        where T : struct
    {
        try
        {
            if (Text is not null && read(Text) is { } value)
            {
                return value;
            }
        }
        catch (UsageException)
        {
            // Said below, with where it comes from.
        }

        throw Refuse(allowed);
    }

    public UsageException Refuse(string allowed)
    {
        var shown = Shown.Length > LongestShown ? Shown[..LongestShown] + "…" : Shown;
        return new UsageException($"{Origin} is {shown}; it must be {allowed}.");
    }
}
