using System.Reflection;
using System.Reflection.Emit;

namespace Kvcached.Tests.Engine;

/// <summary>
/// Finds what a type refers to of clocks, threads, locks, chance and I/O: in its bodies, fields, locals and signatures, those of the types
/// inside it included.
/// </summary>
internal static class ForbiddenReferences
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly string[] _namespaces = ["System.Threading", "System.IO", "System.Net", "System.Timers", "System.Diagnostics", "System.Security.Cryptography", "Microsoft.Win32"];

    private static readonly string[] _types =
    [
        "System.DateTime", "System.DateTimeOffset", "System.TimeProvider", "System.TimeZoneInfo", "System.Random", "System.Guid", "System.Environment", "System.Console",
        "System.AppDomain", "System.ThreadStaticAttribute",
    ];

    /// <summary>Assertions, and what the compiler writes for debuggers and analyzers.</summary>
    private static readonly string[] _accepted = ["System.Diagnostics.Debug", "System.Diagnostics.DebuggerBrowsableAttribute", "System.Diagnostics.DebuggerHiddenAttribute", "System.Diagnostics.UnreachableException"];

    private static readonly Dictionary<short, OpCode> _opCodes = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToDictionary(code => code.Value);

    public static IEnumerable<string> Of(Type type) => TypesNamedBy(type)
        .SelectMany(Parts)
        .Select(named => named.FullName ?? named.Name)
        .Where(IsForbidden)
        .Distinct()
        .Select(named => $"{type.FullName} refers to {named}");

    private static bool IsForbidden(string name) =>
        !_accepted.Any(accepted => name == accepted || name.StartsWith(accepted + "+", StringComparison.Ordinal))
        && !name.StartsWith("System.Diagnostics.CodeAnalysis.", StringComparison.Ordinal)
        && (_types.Contains(name) || _namespaces.Any(forbidden => name.StartsWith(forbidden + ".", StringComparison.Ordinal)));

    private static IEnumerable<Type> TypesNamedBy(Type type)
    {
        var named = new List<Type?> { type.BaseType };
        named.AddRange(type.GetInterfaces());
        named.AddRange(type.GetFields(All).Select(field => field.FieldType));
        named.AddRange(type.GetFields(All).SelectMany(field => field.GetCustomAttributesData()).Select(attribute => attribute.AttributeType));
        foreach (var method in type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)))
        {
            named.Add((method as MethodInfo)?.ReturnType);
            named.AddRange(method.GetParameters().Select(parameter => parameter.ParameterType));
            if (method.GetMethodBody() is { } body)
            {
                named.AddRange(body.LocalVariables.Select(local => local.LocalType));
                named.AddRange(Members(method, body.GetILAsByteArray()!).SelectMany(NamedBy));
            }
        }

        return named.OfType<Type>();
    }

    /// <summary>The type itself, and those that it is made of.</summary>
    private static IEnumerable<Type> Parts(Type type) =>
        type.HasElementType ? Parts(type.GetElementType()!)
        : type.IsConstructedGenericType ? type.GetGenericArguments().SelectMany(Parts).Append(type.GetGenericTypeDefinition())
        : [type];

    private static IEnumerable<Type> NamedBy(MemberInfo member) => member switch
    {
        Type type => [type],
        MethodBase method => [method.DeclaringType!, .. method.IsGenericMethod ? method.GetGenericArguments() : []],
        _ => [member.DeclaringType!],
    };

    private static IEnumerable<MemberInfo> Members(MethodBase method, byte[] il)
    {
        for (var at = 0; at < il.Length;)
        {
            var code = il[at] == 0xFE ? _opCodes[(short)((il[at] << 8) | il[at + 1])] : _opCodes[il[at]];
            at += code.Size;
            if (code.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineType or OperandType.InlineTok)
            {
                yield return method.Module.ResolveMember(
                    BitConverter.ToInt32(il, at),
                    method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null,
                    method.IsGenericMethod ? method.GetGenericArguments() : null)!;
            }

            at += code.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(il, at)),
                _ => 4,
            };
        }
    }
}
