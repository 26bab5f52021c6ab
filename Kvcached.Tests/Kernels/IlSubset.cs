using System.Globalization;
using System.Numerics;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Kvcached.Tests.Kernels;

/// <summary>
/// Checks that methods, and what they call in their own assembly or the table ABI's, stay in the subset of IL that GPU compilers of C# take: static code over
/// blittable structs. What is not known to be accepted is a violation.
/// </summary>
internal sealed class IlSubset
{
    private static readonly Dictionary<short, OpCode> OpCodesByValue = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => code.Value);

    private static readonly HashSet<string> RejectedOpCodes =
    [
        "throw", "rethrow", "box", "unbox", "unbox.any", "localloc", "ldftn", "ldvirtftn", "calli", "newarr", "ldstr", "castclass", "isinst", "stsfld",
        "ldsflda", "leave", "leave.s", "endfinally", "endfilter", "ldtoken", "mkrefany", "refanyval", "refanytype", "arglist", "jmp", "cpblk", "initblk",
        "conv.i", "conv.u", "ldlen", "volatile.", "tail.",
    ];

    private static readonly HashSet<(Type, string)> AcceptedCalls =
    [
        (typeof(Math), nameof(Math.Min)), (typeof(Math), nameof(Math.Max)),
        (typeof(BitOperations), nameof(BitOperations.PopCount)), (typeof(BitOperations), nameof(BitOperations.LeadingZeroCount)),
        (typeof(Unsafe), nameof(Unsafe.As)),
    ];

    private readonly HashSet<MethodBase> _seen = [];
    private readonly List<string> _violations = [];

    /// <summary>The violations of all methods that a type declares.</summary>
    internal static IReadOnlyList<string> Check(Type type)
    {
        const BindingFlags all = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;
        var subset = new IlSubset();
        foreach (var method in type.GetMethods(all))
        {
            subset.CheckMethod(method);
        }

        foreach (var field in type.GetFields(all).Where(field => field.IsStatic && !field.IsLiteral && !field.IsInitOnly))
        {
            subset._violations.Add($"{type.Name}.{field.Name} is a mutable static field");
        }

        if (type.IsValueType)
        {
            subset.CheckType(type, type.Name);
        }

        return subset._violations;
    }

    /// <summary>The violations of one method and what it calls.</summary>
    internal static IReadOnlyList<string> Check(MethodBase method)
    {
        var subset = new IlSubset();
        subset.CheckMethod(method);
        return subset._violations;
    }

    private void CheckMethod(MethodBase method)
    {
        if (!_seen.Add(method))
        {
            return;
        }

        var name = $"{method.DeclaringType!.Name}.{method.Name}";
        foreach (var parameter in method.GetParameters())
        {
            CheckType(parameter.ParameterType, $"{name}, parameter {parameter.Name}");
        }

        if (method.IsAbstract || method.GetMethodBody() is not { } body)
        {
            return;
        }

        foreach (var local in body.LocalVariables)
        {
            CheckType(local.LocalType, $"{name}, local {local.LocalIndex}");
        }

        if (body.ExceptionHandlingClauses.Count > 0)
        {
            _violations.Add($"{name} has an exception region");
        }

        CheckBody(method, body.GetILAsByteArray()!, name);
    }

    private void CheckBody(MethodBase method, byte[] il, string name)
    {
        Type? constrained = null;
        for (var at = 0; at < il.Length;)
        {
            var code = il[at] == 0xFE ? OpCodesByValue[(short)((il[at] << 8) | il[at + 1])] : OpCodesByValue[il[at]];
            at += code.Size;
            if (RejectedOpCodes.Contains(code.Name!) || code.Name!.Contains(".ovf", StringComparison.Ordinal))
            {
                _violations.Add($"{name}: {code.Name}");
            }

            switch (code.OperandType)
            {
                case OperandType.InlineMethod:
                    CheckCall(method, code, BitConverter.ToInt32(il, at), constrained, name);
                    break;
                case OperandType.InlineField when code == OpCodes.Ldsfld:
                    CheckStaticField(method, BitConverter.ToInt32(il, at), name);
                    break;
                case OperandType.InlineType when code == OpCodes.Constrained:
                    constrained = Resolve(method, BitConverter.ToInt32(il, at), method.Module.ResolveType);
                    at += 4;
                    continue;
                case OperandType.InlineType:
                    CheckType(Resolve(method, BitConverter.ToInt32(il, at), method.Module.ResolveType)!, name);
                    break;
            }

            constrained = null;
            at += OperandBytes(code, il, at);
        }
    }

    private void CheckCall(MethodBase caller, OpCode code, int token, Type? constrained, string name)
    {
        var target = Resolve(caller, token, caller.Module.ResolveMethod)!;
        var targetName = $"{target.DeclaringType!.Name}.{target.Name}";
        if (code == OpCodes.Newobj && !target.DeclaringType.IsValueType)
        {
            _violations.Add($"{name}: newobj of class {target.DeclaringType.Name}");
        }
        else if (target.DeclaringType.IsInterface || code == OpCodes.Callvirt)
        {
            // A call through a type parameter that is a struct is resolved at compile time.
            if (constrained is not { IsGenericParameter: true } || (constrained.GenericParameterAttributes & GenericParameterAttributes.NotNullableValueTypeConstraint) == 0)
            {
                _violations.Add($"{name}: virtual call of {targetName}");
            }
        }
        else if (target.Module == caller.Module || target.Module == typeof(Kvcached.Kernels.IEntryTable).Module)
        {
            CheckMethod(target);
        }
        else if (!AcceptedCalls.Contains((target.DeclaringType, target.Name)))
        {
            _violations.Add($"{name}: call of {targetName}");
        }
    }

    private void CheckStaticField(MethodBase method, int token, string name)
    {
        var field = Resolve(method, token, method.Module.ResolveField)!;
        if (!field.IsInitOnly)
        {
            _violations.Add($"{name}: mutable static field {field.Name}");
        }
    }

    private void CheckType(Type type, string where)
    {
        if (type.IsByRef)
        {
            type = type.GetElementType()!;
        }

        if (type.IsGenericParameter)
        {
            if ((type.GenericParameterAttributes & GenericParameterAttributes.NotNullableValueTypeConstraint) == 0)
            {
                _violations.Add($"{where}: type parameter {type.Name} may be a class");
            }
        }
        else if (type.IsPointer || type.IsFunctionPointer || type == typeof(nint) || type == typeof(nuint))
        {
            _violations.Add($"{where}: address type {type.Name}");
        }
        else if (!type.IsValueType)
        {
            _violations.Add($"{where}: class {type.Name}");
        }
        else if (!type.IsPrimitive && !type.IsEnum)
        {
            CheckStruct(type, where);
        }
    }

    private void CheckStruct(Type type, string where)
    {
        var foreign = type.Assembly == typeof(int).Assembly;
        if (foreign || type.IsByRefLike || type.IsExplicitLayout || type.IsDefined(typeof(InlineArrayAttribute)))
        {
            _violations.Add($"{where}: struct {type.Name}");
            return;
        }

        foreach (var field in type.GetFields(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance))
        {
            CheckType(field.FieldType, $"{where}, field {field.Name}");
        }
    }

    private static T Resolve<T>(MethodBase method, int token, Func<int, Type[]?, Type[]?, T> resolve) =>
        resolve(token, method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null, method.IsGenericMethod ? method.GetGenericArguments() : null);

    private static int OperandBytes(OpCode code, byte[] il, int at) => code.OperandType switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(il, at)),
        _ => 4,
    };
}
