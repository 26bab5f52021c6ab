using System.Globalization;
using System.Text;

namespace Kvcached.Daemon;

/// <summary>Text that others chose, for a terminal or a log: what would move the cursor, begin a line or turn the writing around is shown, not done.</summary>
internal static class Printable
{
    /// <summary>The text with control characters, line ends, invisible format characters and halves of surrogate pairs as <c>\u001B</c>; a text without is returned as it is.</summary>
    public static string Escape(string text)
    {
        StringBuilder? escaped = null;
        for (int i = 0, length; i < text.Length; i += length)
        {
            length = Rune.TryGetRuneAt(text, i, out var rune) ? rune.Utf16SequenceLength : 1;
            if (IsShown(rune))
            {
                escaped?.Append(text, i, length);
                continue;
            }

            escaped ??= new StringBuilder(text, 0, i, text.Length + 16);
            foreach (var unit in text.AsSpan(i, length))
            {
                escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)unit:X4}");
            }
        }

        return escaped?.ToString() ?? text;
    }

    private static bool IsShown(Rune rune) => Rune.GetUnicodeCategory(rune)
        is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
}
