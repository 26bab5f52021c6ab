using System.Text;
using Kvcached.Kernels.Gpu;

namespace Kvcached.Devices.OpenCl;

/// <summary>A text of kernels, built for a device. Owns the program. Thread-safe.</summary>
internal sealed unsafe class OpenClProgram : IDisposable
{
    private readonly nint _program;
    private readonly HashSet<string> _functions;
    private readonly string _name;

    /// <summary>Builds a text.</summary>
    /// <exception cref="OpenClBuildException">The driver cannot; the message has its log.</exception>
    internal OpenClProgram(nint context, nint device, GpuSource source, uint lanes)
    {
        _name = source.Name;
        var text = Encoding.UTF8.GetBytes(source.OpenClText);
        fixed (byte* bytes = text)
        {
            var start = bytes;
            var length = (nuint)text.Length;
            int code;
            _program = Cl.CreateProgramWithSource(context, 1, &start, &length, &code);
            OpenClException.Check(code, "clCreateProgramWithSource");
        }

        try
        {
            Build(device, $"-cl-std=CL1.2 -DKV_LANES={lanes}");
            _functions = [.. Functions().Split(';')];
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Makes a kernel object, which one thread at a time may use. Who calls releases it.</summary>
    internal nint CreateKernel(string function)
    {
        int code;
        nint kernel;
        fixed (byte* name = Encoding.UTF8.GetBytes(function + '\0'))
        {
            kernel = Cl.CreateKernel(_program, name, &code);
        }

        OpenClException.Check(code, $"clCreateKernel for {function}");
        return kernel;
    }

    /// <summary>Checks that the text has a function.</summary>
    /// <exception cref="OpenClBuildException">It has not.</exception>
    internal void Require(string function)
    {
        if (!_functions.Contains(function))
        {
            throw new OpenClBuildException($"The text {_name} has no kernel {function}.");
        }
    }

    public void Dispose() => _ = Cl.ReleaseProgram(_program);

    private void Build(nint device, string options)
    {
        int code;
        fixed (byte* text = Encoding.UTF8.GetBytes(options + '\0'))
        {
            code = Cl.BuildProgram(_program, 1, &device, text, 0, 0);
        }

        if (code == Cl.BuildProgramFailure)
        {
            throw new OpenClBuildException($"The driver cannot build the kernels of {_name} ({options}):\n{Log(device)}");
        }

        OpenClException.Check(code, "clBuildProgram");
    }

    private string Log(nint device)
    {
        nuint size;
        OpenClException.Check(Cl.GetProgramBuildInfo(_program, device, Cl.ProgramBuildLog, 0, null, &size), "clGetProgramBuildInfo");
        var log = new byte[size];
        fixed (byte* bytes = log)
        {
            OpenClException.Check(Cl.GetProgramBuildInfo(_program, device, Cl.ProgramBuildLog, size, bytes, null), "clGetProgramBuildInfo");
        }

        return OpenClPlatforms.ToText(log);
    }

    private string Functions()
    {
        nuint size;
        OpenClException.Check(Cl.GetProgramInfo(_program, Cl.ProgramKernelNames, 0, null, &size), "clGetProgramInfo");
        var names = new byte[size];
        fixed (byte* bytes = names)
        {
            OpenClException.Check(Cl.GetProgramInfo(_program, Cl.ProgramKernelNames, size, bytes, null), "clGetProgramInfo");
        }

        return OpenClPlatforms.ToText(names);
    }
}
