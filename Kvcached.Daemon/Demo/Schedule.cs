namespace Kvcached.Daemon.Demo;

/// <summary>One sequence of a step and the tokens that the step appends to it.</summary>
internal readonly record struct PlannedItem(int Request, int NewTokens);

/// <summary>What the seeded policy does to a sequence for no reason.</summary>
internal enum PolicyAction
{
    None,
    Move,
    Clean,
    Evict,
    Prefetch,
}

/// <summary>One step: its items, and what the policy does after it was begun.</summary>
/// <param name="FirstItem">Index of its first item in <see cref="Schedule.Items"/>.</param>
/// <param name="Items">Sequences of the step.</param>
/// <param name="Rows">Tokens of the step.</param>
/// <param name="IsPrefill">Whether the tokens are of prompts; otherwise each item is one generated token.</param>
/// <param name="Action">What the policy does.</param>
/// <param name="ActionRequest">To which sequence.</param>
internal readonly record struct PlannedStep(int FirstItem, int Items, int Rows, bool IsPrefill, PolicyAction Action, int ActionRequest);

/// <summary>Limits of the steps of a schedule.</summary>
internal sealed record ScheduleOptions
{
    /// <summary>Sequences that live at a time.</summary>
    public required int Live { get; init; }

    /// <summary>Tokens of a prefill step.</summary>
    public int ChunkTokens { get; init; } = 512;

    /// <summary>Sequences of a step.</summary>
    public int MaxBatch { get; init; } = 12;

    /// <summary>Blocks that the sequences of a step may hold together.</summary>
    public required int MaxBatchBlocks { get; init; }

    /// <summary>Decode steps that a batch takes before the next one's turn.</summary>
    public int TurnSteps { get; init; } = 4;

    public int Seed { get; init; } = 1;
}

/// <summary>
/// Continuous batching, planned ahead: greedy decoding to known lengths depends on nothing that a run finds out, so the steps can be
/// listed before it starts, and the runs of the demo can share them. Requests are admitted while fewer than Live are alive; prompts are
/// prefilled in chunks as soon as their request is admitted; then batches of live sequences take turns of a few decode steps.
/// </summary>
internal sealed class Schedule
{
    private readonly List<PlannedStep> _steps = [];
    private readonly List<PlannedItem> _items = [];

    public required IReadOnlyList<Request> Requests { get; init; }

    public IReadOnlyList<PlannedStep> Steps => _steps;

    public IReadOnlyList<PlannedItem> Items => _items;

    /// <summary>Most blocks that the live sequences hold together, at any step.</summary>
    public int NeededBlocks { get; private set; }

    public int MaxRows { get; private set; }

    public int MaxItems { get; private set; }

    public static Schedule Create(IReadOnlyList<Request> requests, ModelShape shape, ScheduleOptions options)
    {
        var schedule = new Schedule { Requests = requests };
        new Planner(schedule, shape, options).Plan();
        return schedule;
    }

    /// <summary>A schedule of one sequence a step, as listed.</summary>
    public static Schedule FromSteps(IReadOnlyList<Request> requests, IEnumerable<(int Request, int NewTokens, PolicyAction Action)> steps)
    {
        var schedule = new Schedule { Requests = requests };
        foreach (var (request, newTokens, action) in steps)
        {
            schedule._steps.Add(new PlannedStep(schedule._items.Count, 1, newTokens, newTokens > 1, action, request));
            schedule._items.Add(new PlannedItem(request, newTokens));
            schedule.MaxRows = Math.Max(schedule.MaxRows, newTokens);
        }

        schedule.MaxItems = 1;
        return schedule;
    }

    /// <summary>Plays the lengths of the sequences forward.</summary>
    private sealed class Planner(Schedule schedule, ModelShape shape, ScheduleOptions options)
    {
        private readonly int[] _tokens = new int[schedule.Requests.Count];
        private readonly Queue<int> _waiting = new(Enumerable.Range(0, schedule.Requests.Count));
        private readonly Queue<int> _turns = new();
        private readonly List<int> _prefilling = [];
        private readonly List<int> _batch = [];
        private readonly Random _random = new(options.Seed);
        private int _live;

        public void Plan()
        {
            while (_waiting.Count + _live > 0)
            {
                Admit();
                while (_prefilling.Count > 0)
                {
                    Prefill();
                }

                TakeTurn();
            }
        }

        private void Admit()
        {
            while (_live < options.Live && _waiting.TryDequeue(out var request))
            {
                _live++;
                _prefilling.Add(request);
            }
        }

        private void Prefill()
        {
            var first = schedule._items.Count;
            var rows = 0;
            var blocks = 0;
            while (_prefilling.Count > 0 && rows < options.ChunkTokens && schedule._items.Count - first < options.MaxBatch)
            {
                var request = _prefilling[0];
                var prompt = schedule.Requests[request].Prompt.Length;
                var count = Math.Min(prompt - _tokens[request], options.ChunkTokens - rows);
                blocks += shape.Blocks(_tokens[request] + count);
                if (rows > 0 && blocks > options.MaxBatchBlocks)
                {
                    break;
                }

                Append(request, count);
                rows += count;
                if (_tokens[request] == prompt)
                {
                    _prefilling.RemoveAt(0);
                    Continue(request);
                }
            }

            EndStep(first, rows, isPrefill: true);
        }

        private void TakeTurn()
        {
            _batch.Clear();
            var blocks = 0;
            while (_batch.Count < options.MaxBatch && _turns.TryPeek(out var request))
            {
                blocks += shape.Blocks(_tokens[request] + options.TurnSteps);
                if (_batch.Count > 0 && blocks > options.MaxBatchBlocks)
                {
                    break;
                }

                _batch.Add(_turns.Dequeue());
            }

            for (var step = 0; step < options.TurnSteps; step++)
            {
                var first = schedule._items.Count;
                foreach (var request in _batch)
                {
                    if (_tokens[request] < schedule.Requests[request].Context)
                    {
                        Append(request, 1);
                    }
                }

                var rows = schedule._items.Count - first;
                if (rows > 0)
                {
                    EndStep(first, rows, isPrefill: false);
                }
            }

            foreach (var request in _batch)
            {
                Continue(request);
            }
        }

        private void Append(int request, int count)
        {
            _tokens[request] += count;
            schedule._items.Add(new PlannedItem(request, count));
        }

        /// <summary>Gives the sequence another turn, or ends it.</summary>
        private void Continue(int request)
        {
            if (_tokens[request] < schedule.Requests[request].Context)
            {
                _turns.Enqueue(request);
            }
            else
            {
                _live--;
            }
        }

        private void EndStep(int first, int rows, bool isPrefill)
        {
            var items = schedule._items.Count - first;
            var (action, request) = ChooseAction(first, items);
            schedule._steps.Add(new PlannedStep(first, items, rows, isPrefill, action, request));
            schedule.MaxRows = Math.Max(schedule.MaxRows, rows);
            schedule.MaxItems = Math.Max(schedule.MaxItems, items);
            var blocks = 0;
            for (var i = 0; i < _tokens.Length; i++)
            {
                var isLive = _tokens[i] < schedule.Requests[i].Context || schedule._items.Skip(first).Any(item => item.Request == i);
                blocks += isLive ? shape.Blocks(_tokens[i]) : 0;
            }

            schedule.NeededBlocks = Math.Max(schedule.NeededBlocks, blocks);
        }

        /// <summary>Mostly a move within the step's batch; now and then a clean or an eviction there, or a prefetch of whose turn is next.</summary>
        private (PolicyAction Action, int Request) ChooseAction(int first, int items)
        {
            var request = schedule._items[first + _random.Next(items)].Request;
            var action = _random.Next(16) switch
            {
                < 8 => PolicyAction.Move,
                8 => PolicyAction.Clean,
                9 => PolicyAction.Evict,
                10 => PolicyAction.Prefetch,
                _ => PolicyAction.None,
            };
            if (action == PolicyAction.Prefetch && !_turns.TryPeek(out request))
            {
                action = PolicyAction.None;
            }

            // A sequence that ends with this step is freed after it, before the policy acts.
            return _tokens[request] < schedule.Requests[request].Context ? (action, request) : (PolicyAction.None, -1);
        }
    }
}
