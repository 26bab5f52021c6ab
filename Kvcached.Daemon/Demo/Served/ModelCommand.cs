using System.CommandLine;
using Kvcached.Daemon.Hardware;
using Kvcached.Daemon.Processes;
using Kvcached.Devices;
using Command = System.CommandLine.Command;

namespace Kvcached.Daemon.Demo.Served;

/// <summary>
/// <c>demo-model</c>: a model process, which <c>demo --processes</c> starts. It talks in lines: told its task, it plans; told the path of a socket, it decodes on
/// that daemon's pool; told to verify, it compares with an unevicted run of its own.
/// </summary>
internal static class ModelCommand
{
    public const string Name = "demo-model";

    public static Command Create()
    {
        var command = new Command(Name, "A model process of demo --processes.") { Hidden = true };
        command.SetAction(_ => DemoCommand.Guard(Run));
        return command;
    }

    private static int Run()
    {
        var lines = new StarterLines();
        var task = ModelTask.Parse(lines.Read());
        using var device = DeviceName.Parse(task.Device)!.Value.Open(Transformer.Kernels, task.Workers);
        var options = new DemoOptions { Text = default, Workload = task.Workload, MaxBatch = task.MaxBatch };
        using var model = new DemoModel(device, task.Shape, task.Requests, options, task.BatchBytes);
        var planned = new ModelMessage { Phase = ModelPhase.Planned, Steps = model.Schedule.Steps.Count, NeededBytes = model.NeededBytes };
        Say(planned);
        var monitor = Decode(device, model, lines.Read(), task);
        var tokens = model.Schedule.Steps.Sum(step => (long)step.Rows);
        Say(planned with { Phase = ModelPhase.Decoded, Step = planned.Steps, Tokens = tokens, ManagedBytes = monitor.ManagedBytes });
        lines.Read();
        Say(new ModelMessage { Phase = ModelPhase.Verified, Difference = model.DifferenceFromUnevicted(new MessageDisplay()) });
        return 0;
    }

    /// <summary>The evicting run.</summary>
    private static RunMonitor Decode(ISharingDevice device, DemoModel model, string socket, ModelTask task)
    {
        using var cache = KvCache.ConnectAsync(device, socket, new KvConnectOptions { Tenant = task.Tenant, Name = task.Tenant }).GetAwaiter().GetResult();
        var served = new PagedKvOptions { Pool = default, ColdBytes = 0, IsServed = true, HasWindows = task.HasWindows };
        using var kv = new PagedKv(cache, model.Shape, model.Schedule, served);
        using var run = new DecodeRun(device, model.Schedule, model.Transformer, kv, model.Evicting);
        var monitor = new RunMonitor("evicting", model.Schedule.Steps.Count, new MessageDisplay(), task.ManagedWindowSteps);
        run.Execute(monitor);
        return monitor;
    }

    private static void Say(ModelMessage message) => Console.Out.WriteLine(message.ToJson());

    /// <summary>Tells the process that started this one how far it is.</summary>
    private sealed class MessageDisplay : IDemoDisplay
    {
        public void Say(string text)
        {
        }

        public void Show(in RunSnapshot snapshot) =>
            ModelCommand.Say(new ModelMessage { Phase = ModelPhase.Running, Step = snapshot.Step, Steps = snapshot.Steps, Tokens = snapshot.Tokens });
    }
}
