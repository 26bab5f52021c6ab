using System.Globalization;
using System.Text;

namespace Kvcached.Daemon;

/// <summary>Text that others chose, for a terminal or a log: what would move the cursor, begin a line or turn the writing around is shown, not done.</summary>
internal static class Printable
{
    /// <summary>The text with control characters, line ends and invisible format characters as <c>\u001B</c>; a text without is returned as it is.</summary>
    public static string Escape(string text)
    {
        StringBuilder? escaped = null;
        for (var i = 0; i < text.Length; i++)
        {
            if (IsShown(text[i]))
            {
                escaped?.Append(text[i]);
                continue;
            }

            escaped ??= new StringBuilder(text, 0, i, text.Length + 16);
            escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[i]:X4}");
        }

        return escaped?.ToString() ?? text;
    }

    private static bool IsShown(char character) => char.GetUnicodeCategory(character)
        is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
}
