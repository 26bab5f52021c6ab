using System.Collections;

namespace Kvcached.Engine;

/// <summary>Things by number, whose numbers come back: one that has been given back is the next to be given, before any new one. Keeps its storage.</summary>
internal sealed class NumberedList<T> : IReadOnlyList<T>
{
    private readonly List<T> _items;
    private readonly Stack<int> _free = new();

    /// <summary>Makes a list of what has its number for good.</summary>
    public NumberedList(params ReadOnlySpan<T> items) => _items = [.. items];

    /// <summary>Numbers that there are, those that are free among them.</summary>
    public int Count => _items.Count;

    /// <summary>The number that the next one will have.</summary>
    public int Next => _free.TryPeek(out var number) ? number : _items.Count;

    public T this[int number] => _items[number];

    /// <summary>Gives a thing the next number.</summary>
    public void Add(T item)
    {
        if (_free.TryPop(out var number))
        {
            _items[number] = item;
        }
        else
        {
            _items.Add(item);
        }
    }

    /// <summary>Takes a number back.</summary>
    /// <param name="number">The number.</param>
    /// <param name="left">What is found there until another has it.</param>
    public void Free(int number, T left)
    {
        _items[number] = left;
        _free.Push(number);
    }

    public List<T>.Enumerator GetEnumerator() => _items.GetEnumerator();

    IEnumerator<T> IEnumerable<T>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
