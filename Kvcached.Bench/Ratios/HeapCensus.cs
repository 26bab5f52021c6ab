using System.Reflection;
using System.Runtime.CompilerServices;

namespace Kvcached.Bench.Ratios;

/// <summary>
/// Bytes on the managed heap that an object leads to, through fields and elements: says where the bytes of <see cref="BookkeepingSides"/> go.
/// What was counted once is not counted again.
/// </summary>
internal sealed class HeapCensus
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private readonly HashSet<object> _seen = new(ReferenceEqualityComparer.Instance);

    /// <summary>Bytes that an object leads to, itself included, and that have not been counted.</summary>
    public long Count(object root)
    {
        var bytes = 0L;
        var pending = new Stack<object>();
        Push(root, pending);
        while (pending.TryPop(out var next))
        {
            bytes += SizeOf(next);
            if (next is Array array)
            {
                PushElements(array, pending);
            }
            else
            {
                PushFields(next, next.GetType(), pending);
            }
        }

        return bytes;
    }

    private void Push(object? value, Stack<object> pending)
    {
        if (value is not null and not Type and not Delegate and not string && _seen.Add(value))
        {
            pending.Push(value);
        }
    }

    private void PushElements(Array array, Stack<object> pending)
    {
        var element = array.GetType().GetElementType()!;
        if (element.IsValueType && !MayRefer(element))
        {
            return;
        }

        foreach (var value in array)
        {
            PushValue(value, element, pending);
        }
    }

    private void PushFields(object holder, Type type, Stack<object> pending)
    {
        for (var level = type; level is not null; level = level.BaseType)
        {
            foreach (var field in level.GetFields(Fields))
            {
                if (!field.FieldType.IsPointer && (!field.FieldType.IsValueType || MayRefer(field.FieldType)))
                {
                    PushValue(field.GetValue(holder), field.FieldType, pending);
                }
            }
        }
    }

    private void PushValue(object? value, Type declared, Stack<object> pending)
    {
        if (!declared.IsValueType)
        {
            Push(value, pending);
        }
        else if (value is not null)
        {
            PushFields(value, value.GetType(), pending);
        }
    }

    private static bool MayRefer(Type type) => !type.IsPrimitive && !type.IsEnum && type.GetFields(Fields).Any(field => !field.FieldType.IsValueType || (field.FieldType != type && MayRefer(field.FieldType)));

    /// <summary>Header, method table and content, to a multiple of 8.</summary>
    private static unsafe long SizeOf(object value)
    {
        // The runtime keeps an object's base size beside its flags at the head of the method table.
        var bytes = (long)((int*)value.GetType().TypeHandle.Value)[1];
        if (value is Array array)
        {
            bytes += array.LongLength * ElementBytes(array.GetType().GetElementType()!);
        }

        return (bytes + 7) & ~7L;
    }

    private static unsafe int ElementBytes(Type type) => type.IsValueType
        ? (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!
        : sizeof(void*);
}
