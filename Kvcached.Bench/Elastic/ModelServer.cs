using Kvcached.Engine;
using Kvcached.Sequences;

namespace Kvcached.Bench.Elastic;

/// <summary>A request as a model serves it.</summary>
/// <param name="Arrival">When it arrives, in nanoseconds of virtual time.</param>
internal sealed record ServedRequest(long Arrival, int InputTokens, int OutputTokens)
{
    public SequenceHandle Sequence { get; set; }

    /// <summary>Tokens whose KV has been written.</summary>
    public int Tokens { get; set; }

    /// <summary>Nanoseconds from its arrival to its first token.</summary>
    public long TimeToFirstToken { get; set; } = -1;

    /// <summary>Tokens whose KV is written: the last generated token is nobody's input.</summary>
    public int WrittenTokens => InputTokens + OutputTokens - 1;

    public int TotalTokens => InputTokens + OutputTokens;
}

/// <summary>
/// A model that batches continuously. A step takes every running request one token on and as many prompt tokens as it has time for, those of the earliest request first: 25 steps of 400
/// are 10,000 prompt tokens a second. Where memory does not suffice, requests go in order of arrival and none is overtaken: the later ones are left out of the step, and the engine
/// evicts them if it needs their room, and reloads them with the step that has them again. A prompt is let in when all of it fits.
/// <code>
///   step    40 ms, or 0.1 ms a prompt token where no request has got as far as decoding
/// </code>
/// </summary>
internal sealed class ModelServer(VirtualClock clock, ElasticCache cache, ClientState client, LaneState lane, int model, ServedRequest[] requests)
{
    public const long NanosPerPromptToken = 100_000;
    public const long NanosPerDecode = 40_000_000;
    public const int PromptTokensPerStep = (int)(NanosPerDecode / NanosPerPromptToken);

    private readonly List<ServedRequest> _running = [];
    private readonly List<StepRequest> _batch = [];
    private int _arrived;
    private bool _isStepping;

    public LaneState Lane => lane;

    public ServedRequest[] Requests => requests;

    /// <summary>Requests that have got all their tokens.</summary>
    public int Completed { get; private set; }

    /// <summary>When the last of them did.</summary>
    public long CompletedAt { get; private set; }

    /// <summary>Blocks of the step that runs or waits, and of the rest of the prompts in it.</summary>
    public int WantedBlocks { get; private set; }

    /// <summary>Has the first request arrive when it does.</summary>
    public void Start() => AwaitArrival(0);

    /// <summary>The step has ended: counts its tokens, lets go of requests that are complete, and begins the next one.</summary>
    public void EndStep()
    {
        if (CacheEngine.StatusOf(lane, lane.Begun) is not KvStepStatus.Accepted and var status)
        {
            throw new InvalidOperationException($"A step of {_batch.Count} sequences and {WantedBlocks} blocks is {status}.");
        }

        for (var i = 0; i < _batch.Count; i++)
        {
            var request = _running[i];
            request.Tokens += _batch[i].NewTokens;
            if (request.Tokens == request.InputTokens)
            {
                request.TimeToFirstToken = clock.Now - request.Arrival;
            }

            if (request.Tokens == request.WrittenTokens)
            {
                cache.Engine.Sequences.Free(client, request.Sequence);
                (Completed, CompletedAt) = (Completed + 1, clock.Now);
            }
        }

        _running.RemoveAll(request => request.Tokens == request.WrittenTokens);
        (_isStepping, WantedBlocks) = (false, 0);
        BeginStep();
    }

    private void AwaitArrival(int index)
    {
        if (index < requests.Length)
        {
            clock.At(requests[index].Arrival, () =>
            {
                _arrived++;
                AwaitArrival(index + 1);
                BeginStep();
            });
        }
    }

    private void BeginStep()
    {
        if (_isStepping || !TryCompose(out var nanos))
        {
            return;
        }

        _isStepping = true;
        var status = cache.Engine.Begin(lane, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_batch));
        if (status is not (KvStepStatus.Accepted or KvStepStatus.Busy))
        {
            throw new InvalidOperationException($"A step of {_batch.Count} sequences and {WantedBlocks} blocks is {status}.");
        }

        cache.Device.Launch(lane.Number, lane.BeginOf(lane.Begun), nanos, lane.EndOf(lane.Begun));
    }

    /// <summary>Chooses the requests of the next step, which are the first of the running ones, and says how long it takes.</summary>
    private bool TryCompose(out long nanos)
    {
        var (budget, wanted, promptTokens) = (cache.BudgetOf(this), 0, 0);
        var decodes = false;
        _batch.Clear();
        while (_batch.Count < ElasticCache.MaxBatch && Next(_batch.Count) is { } request)
        {
            var newTokens = request.Tokens < request.InputTokens ? Math.Min(request.InputTokens - request.Tokens, PromptTokensPerStep - promptTokens) : 1;
            var blocks = ElasticCache.BlocksFor(Math.Max(request.InputTokens, request.Tokens + newTokens));
            if (newTokens == 0 || wanted + blocks > budget)
            {
                break;
            }

            if (_batch.Count == _running.Count)
            {
                request.Sequence = cache.Engine.Sequences.Create(client, model);
                _running.Add(request);
            }

            decodes |= request.Tokens >= request.InputTokens;
            promptTokens += request.Tokens < request.InputTokens ? newTokens : 0;
            wanted += blocks;
            _batch.Add(new StepRequest(request.Sequence, newTokens));
        }

        WantedBlocks = wanted;
        nanos = decodes ? NanosPerDecode : promptTokens * NanosPerPromptToken;
        return _batch.Count > 0;
    }

    /// <summary>The running request with a number, by arrival, or the one that would run as such; null if none has arrived.</summary>
    private ServedRequest? Next(int number)
    {
        if (number < _running.Count)
        {
            return _running[number];
        }

        var started = Completed + _running.Count;
        return started < _arrived ? requests[started] : null;
    }
}
