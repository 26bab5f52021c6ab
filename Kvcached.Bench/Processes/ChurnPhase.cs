using System.IO.MemoryMappedFiles;

namespace Kvcached.Bench.Processes;

/// <summary>What a client process is at when it is killed.</summary>
internal enum ChurnPhase
{
    /// <summary>Not attached yet.</summary>
    Starting,

    /// <summary>No step is under way.</summary>
    Idle,

    /// <summary>A step has been begun, and its kernels have not been enqueued.</summary>
    BetweenBeginAndEnd,

    /// <summary>Kernels of a step are enqueued or running.</summary>
    InFlight,

    /// <summary>A record has been begun in the submission ring, and not been published.</summary>
    RingHalfWritten,
}

/// <summary>A word in a file that a client process keeps its phase in: it can be read when the process is gone.</summary>
internal sealed class PhaseFile : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;

    public PhaseFile(string path)
    {
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.OpenOrCreate, null, sizeof(int));
        _view = _file.CreateViewAccessor(0, sizeof(int));
    }

    public ChurnPhase Phase
    {
        get => (ChurnPhase)_view.ReadInt32(0);
        set => _view.Write(0, (int)value);
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}
