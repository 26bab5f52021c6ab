using System.Reflection;
using System.Text;

namespace Kvcached.Kernels.Gpu;

/// <summary>
/// One text of kernels that OpenCL and CUDA both compile, from the embedded resources of an assembly: <c>gpu/FILE</c> for OpenCL and what clang
/// made of it for CUDA, <c>gpu/ptx/NAME.sm_80.ptx</c> and <c>gpu/ptx/NAME.sm_90.ptx</c>. Thread-safe.
/// </summary>
public sealed class GpuSource
{
    private const string Directive = "#include \"";

    private static readonly int[] _capabilities = [90, 80];

    private readonly Assembly _assembly;
    private readonly Lazy<string> _openClText;

    /// <summary>Names a text; nothing is read yet.</summary>
    /// <param name="name">Name of the text, in messages and in the names of its PTX.</param>
    /// <param name="assembly">Where it is embedded.</param>
    /// <param name="file">Its file below <c>gpu/</c>.</param>
    public GpuSource(string name, Assembly assembly, string file)
    {
        Name = name;
        _assembly = assembly;
        _openClText = new Lazy<string>(() => Expand(file));
    }

    /// <summary>Name of the text.</summary>
    public string Name { get; }

    /// <summary>The text with its includes in place: of the assembly itself, or of <c>Kvcached.Kernels</c>.</summary>
    /// <exception cref="InvalidOperationException">A file that it includes is not embedded.</exception>
    public string OpenClText => _openClText.Value;

    /// <summary>PTX for a device, of the highest architecture embedded that it can run.</summary>
    /// <param name="computeCapability">Ten times the major number plus the minor one: 90 for 9.0.</param>
    /// <returns>The text, or null where nothing embedded runs on such a device.</returns>
    public string? Ptx(int computeCapability)
    {
        foreach (var capability in _capabilities)
        {
            if (computeCapability >= capability && Read(_assembly, $"ptx/{Name}.sm_{capability}.ptx") is { } text)
            {
                return text;
            }
        }

        return null;
    }

    // Every time it is named: files that must come once have guards, and the compiler counts lines by #line.
    private string Expand(string file)
    {
        var text = Read(_assembly, file) ?? Read(typeof(GpuSource).Assembly, file)
            ?? throw new InvalidOperationException($"gpu/{file}, which {Name} includes, is not embedded in {_assembly.GetName().Name}.");
        var expanded = new StringBuilder($"#line 1 \"{file}\"\n");
        var line = 0;
        foreach (var content in text.AsSpan().EnumerateLines())
        {
            line++;
            if (content.StartsWith(Directive) && content[Directive.Length..].IndexOf('"') is > 0 and var length)
            {
                expanded.Append(Expand(content.Slice(Directive.Length, length).ToString())).Append($"#line {line + 1} \"{file}\"\n");
            }
            else
            {
                expanded.Append(content).Append('\n');
            }
        }

        return expanded.ToString();
    }

    private static string? Read(Assembly assembly, string file)
    {
        using var stream = assembly.GetManifestResourceStream($"gpu/{file}");
        if (stream is null)
        {
            return null;
        }

        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
