using System.Diagnostics;
using Kvcached.Daemon.Processes;
using Kvcached.Protocol;

namespace Kvcached.Daemon.Replay;

/// <summary>A replay by client processes of one daemon: requests are dealt out in turn, and what each process has verified is summed.</summary>
internal sealed class ServedReplay
{
    private static readonly TimeSpan _shrinkLimit = TimeSpan.FromSeconds(10);

    private readonly ReplayOptions _options;
    private readonly ReplayPlan[] _plans;
    private readonly long[] _tokens;

    public ServedReplay(ReplayOptions options, TraceRequest[] requests)
    {
        _options = options;
        _plans = [.. Enumerable.Range(0, options.Processes).Select(part => ReplayPlan.CreatePart(options, requests, part))];
        _tokens = new long[options.Processes];
    }

    /// <summary>Live requests at a time, of all processes.</summary>
    public int Active => _plans.Sum(plan => plan.Active);

    public long TotalTokens => _plans.Sum(plan => plan.TotalTokens);

    /// <summary>Runs the workload to its end.</summary>
    /// <param name="progress">Told now and then how many tokens have been written.</param>
    /// <exception cref="ReplayClientException">A client process ends before its time.</exception>
    /// <exception cref="DaemonFailedException">The daemon does not start, or ends.</exception>
    public ReplayReport Run(Action<long>? progress)
    {
        var coldBytes = _options.ColdBytes > 0 ? _options.ColdBytes : Math.Min(_plans.Sum(plan => plan.ColdBytes), ReplayOptions.MaxBytes);
        using var daemon = DaemonProcess.Start(
            "--device", _options.Device, "--pool", $"{_options.Pool}", "--cold", SizeParser.Format(coldBytes), "--table", SizeParser.Format(_plans.Sum(plan => plan.TableBytes)));
        var clients = new List<Process>();
        try
        {
            for (var part = 0; part < _plans.Length; part++)
            {
                clients.Add(OwnProcess.Start(typeof(ServedReplay).Assembly, ReplayClientCommand.Name));
                clients[part].StandardInput.WriteLine(new ReplayTask { Socket = daemon.Socket, Options = _options, Part = part }.ToJson());
            }

            var parts = ReadAll(clients, progress);
            var report = Sum(parts, ShrinkPool(daemon));
            return daemon.Stop() == 0 ? report : throw new DaemonFailedException($"The daemon has not ended as it should.{daemon.Tail()}");
        }
        catch (Exception error) when (error is ReplayClientException or KvException && daemon.HasExited)
        {
            throw new DaemonFailedException($"The daemon has ended while clients used it.{daemon.Tail()}");
        }
        finally
        {
            clients.ForEach(End);
        }
    }

    private static void End(Process client)
    {
        if (!client.HasExited)
        {
            client.Kill();
        }

        client.WaitForExit();
        client.Dispose();
    }

    /// <summary>Reads what the processes say until all are done, or one is not done and says no more.</summary>
    private List<ReplayMessage> ReadAll(List<Process> clients, Action<long>? progress)
    {
        var reads = clients.Select((client, part) => Task.Run(() => Read(client, part))).ToList();
        while (reads.Any(read => !read.IsCompleted))
        {
            if (reads.Find(read => read.IsFaulted) is { } failed)
            {
                failed.GetAwaiter().GetResult();
            }

            progress?.Invoke(_tokens.Sum());
            Thread.Sleep(100);
        }

        return [.. reads.Select(read => read.GetAwaiter().GetResult())];
    }

    private ReplayMessage Read(Process client, int part)
    {
        var errors = client.StandardError.ReadToEndAsync();
        while (client.StandardOutput.ReadLine() is { } line)
        {
            var message = ReplayMessage.Parse(line);
            Volatile.Write(ref _tokens[part], message.Tokens);
            if (message.Report is not null)
            {
                return message;
            }
        }

        throw new ReplayClientException($"Client process {part + 1} has ended before its time: {errors.Result.Trim()}");
    }

    /// <summary>Shrinks the pool, of which nothing is in use, to its floor.</summary>
    private DaemonStatus ShrinkPool(DaemonProcess daemon)
    {
        using var control = AdminConnection.Open(daemon.Socket);
        control.Ask<OkMessage>(new TrimMessage());
        var start = Stopwatch.GetTimestamp();
        DaemonStatus status;
        while ((status = control.Ask<StatusMessage>(new GetStatusMessage()).Status).Totals is var totals && totals.PoolPresentBytes > totals.PoolFloorBytes && Stopwatch.GetElapsedTime(start) < _shrinkLimit)
        {
            Thread.Sleep(10);
        }

        return status;
    }

    private ReplayReport Sum(List<ReplayMessage> parts, DaemonStatus status)
    {
        var reports = parts.ConvertAll(part => part.Report!);
        var latencies = new StepLatencies();
        parts.ForEach(part => latencies.Add(part.Latencies));
        return new ReplayReport
        {
            Device = status.Device,
            Processes = parts.Count,
            Requests = reports.Sum(report => report.Requests),
            Refused = reports.Sum(report => report.Refused),
            Tokens = reports.Sum(report => report.Tokens),
            Steps = reports.Sum(report => report.Steps),
            EvictedBlocks = status.Totals.EvictedBlocks,
            ReloadedBlocks = status.Totals.ReloadedBlocks,
            BytesOut = status.Totals.BytesOut,
            BytesIn = status.Totals.BytesIn,
            Copies = status.Totals.Copies,
            MeanRunLength = Math.Round(reports.Average(report => report.MeanRunLength), 2),
            VerifiedGranules = reports.Sum(report => report.VerifiedGranules),
            MismatchedGranules = reports.Sum(report => report.MismatchedGranules),
            P50StepUs = latencies.Percentile(50),
            P99StepUs = latencies.Percentile(99),
            DeviceBytesPeak = reports.Max(report => report.DeviceBytesPeak),
            PoolBytesPeak = reports.Max(report => report.PoolBytesPeak),
            PoolBytesEnd = status.PoolPhysicalBytes,
            ColdBytesPeak = status.Totals.ColdBytesPeak,
            Unverified = parts.Sum(part => part.Unverified),
            FirstMismatch = parts.Find(part => part.FirstMismatch is not null)?.FirstMismatch,
            PoolFloorBytes = status.Totals.PoolFloorBytes,
        };
    }
}

/// <summary>A client process of a replay has ended before its time.</summary>
internal sealed class ReplayClientException(string message) : Exception(message);
