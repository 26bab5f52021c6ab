using Kvcached.Engine;

namespace Kvcached.Bench.Simulation;

// Contiguous windows.
public sealed partial class SimulationRun
{
    /// <summary>Opens or closes a window, of the first layout from one on that has one to be opened or closed. False if none has.</summary>
    private bool SwitchWindow(SimulatedClient client, SimulatedSequence sequence, int from, SimulatedCommand command)
    {
        var opens = command == SimulatedCommand.OpenWindow;
        for (var i = 0; i < client.Layouts; i++)
        {
            var layout = (from + i) % client.Layouts;
            if (Engine.Windows.IsOpen(sequence.Windows, layout) == opens || !client.CanHaveWindow(layout))
            {
                continue;
            }

            _options.Log?.Write($", layout {layout}");
            _census.Meet(command, sequence.Handle);
            if (opens)
            {
                _host.Engine.Sequences.OpenWindow(client.State, sequence.Handle, layout);
            }
            else
            {
                _coverage.Count(WindowEvent.ClosedUnderWaiting, sequence.Pending.Count > 0 ? 1 : 0);
                _host.Engine.Sequences.CloseWindow(client.State, sequence.Handle, layout);
            }

            sequence.Windows ^= 1UL << layout;
            _coverage.Count(command);
            return true;
        }

        _options.Log?.Write(": nothing");
        return false;
    }

    /// <summary>Counts a step that turns out refused with windows, or over its tenant's quota.</summary>
    private void NoteStatus(SimulatedStep step)
    {
        _coverage.OverQuotaSteps += step.Status == KvStepStatus.OverQuota ? 1 : 0;
        var isRefused = step.Status is KvStepStatus.NeverFits or KvStepStatus.NoRoom && step.Items.Exists(item => item.Windows != 0);
        _coverage.Count(WindowEvent.Refused, isRefused ? 1 : 0);
    }

    /// <summary>Counts a sequence that is freed with open windows.</summary>
    private void NoteFreed(SimulatedSequence sequence) =>
        _coverage.Count(WindowEvent.Freed, sequence.Windows != 0 && _host.Engine.State.Sequences.Find(sequence.Handle)!.WindowBytes > 0 ? 1 : 0);

    /// <summary>Adds what the engine has counted.</summary>
    private void AddWindows(in EngineCounters counters)
    {
        _coverage.Count(WindowEvent.Grown, counters.WindowsGrown);
        _coverage.Count(WindowEvent.Moved, counters.WindowsMoved);
        _coverage.Count(WindowEvent.Halved, counters.WindowsHalved);
        _coverage.Count(WindowEvent.Emptied, counters.WindowsDropped);
    }
}
