using System.Runtime.InteropServices;
using Kvcached.Daemon.Demo.Kernels;
using Kvcached.Devices;

namespace Kvcached.Daemon.Demo;

/// <summary>
/// The tokens of a run's requests, prompts first, and a record of each position: written by kernels, read by the host after the run.
/// Owned by who made it; outlives the run.
/// </summary>
internal sealed class Transcript : IDisposable
{
    private readonly IReadOnlyList<Request> _requests;
    private readonly DeviceMemory _tokens;
    private readonly DeviceMemory _promptTokens;
    private readonly DeviceMemory _records;

    public Transcript(IDevice device, IReadOnlyList<Request> requests)
    {
        _requests = requests;
        Stride = requests.Max(request => request.Context) + 1;
        var places = (long)requests.Count * Stride;
        _tokens = DeviceUpload.Create(device, "tokens", places * sizeof(int), WritePrompts);
        _promptTokens = DeviceUpload.Create(device, "prompt lengths", (long)requests.Count * sizeof(int), WriteLengths);
        _records = device.Allocate(places * Marshal.SizeOf<PositionRecord>(), MemoryKind.Host, "records");
    }

    /// <summary>Address of int[requests][Stride].</summary>
    public ulong Tokens => _tokens.Address;

    /// <summary>Address of int[requests].</summary>
    public ulong PromptTokens => _promptTokens.Address;

    /// <summary>Address of PositionRecord[requests][Stride].</summary>
    public ulong Records => _records.Address;

    /// <summary>Positions from one request to the next.</summary>
    public int Stride { get; }

    /// <summary>The record of a position. To be read after the run's last step has ended.</summary>
    public PositionRecord this[int request, int position]
    {
        get
        {
            var bytes = Marshal.SizeOf<PositionRecord>();
            return MemoryMarshal.Read<PositionRecord>(_records.HostSpan((((long)request * Stride) + position) * bytes, bytes));
        }
    }

    /// <summary>
    /// The first position at which a request's token or logits differ, or were not computed, in either transcript; −1 if there is none
    /// among its first <paramref name="positions"/>.
    /// </summary>
    public int FirstDifference(Transcript other, int request, int positions)
    {
        for (var position = 0; position < positions; position++)
        {
            var mine = this[request, position];
            if (mine.Written == 0 || mine != other[request, position])
            {
                return position;
            }
        }

        return -1;
    }

    /// <summary>Names the first difference between two whole transcripts, or null if they are identical.</summary>
    public string? Compare(Transcript other)
    {
        foreach (var request in _requests)
        {
            var position = FirstDifference(other, request.Number, request.Context);
            if (position >= 0)
            {
                return $"request {request.Number}, position {position}: {this[request.Number, position]} against {other[request.Number, position]}";
            }
        }

        return null;
    }

    public void Dispose()
    {
        _tokens.Dispose();
        _promptTokens.Dispose();
        _records.Dispose();
    }

    private void WritePrompts(DeviceMemory staging)
    {
        foreach (var request in _requests)
        {
            var row = MemoryMarshal.Cast<byte, int>(staging.HostSpan((long)request.Number * Stride * sizeof(int), Stride * sizeof(int)));
            for (var i = 0; i < request.Prompt.Length; i++)
            {
                row[i] = request.Prompt.Span[i];
            }
        }
    }

    private void WriteLengths(DeviceMemory staging)
    {
        var lengths = MemoryMarshal.Cast<byte, int>(staging.HostSpan(0, _requests.Count * sizeof(int)));
        foreach (var request in _requests)
        {
            lengths[request.Number] = request.Prompt.Length;
        }
    }
}
