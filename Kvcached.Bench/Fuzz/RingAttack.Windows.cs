using Kvcached.Kernels;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

// Contiguous windows, on the lanes of every other client.
internal sealed unsafe partial class RingAttack
{
    private readonly bool[] _isOpen = new bool[Slots];
    private readonly List<bool> _isSliding = [];

    /// <summary>Where the client says that it has the pool: anywhere, since it never looks there. 0 for a client without windows.</summary>
    private long _poolAddress;

    private void ChoosePoolAddress() => _poolAddress = random.Next(2) == 0 ? 0 : random.NextInt64(1, 1L << 50) * Environment.SystemPageSize;

    /// <summary>Opens, closes or measures a window.</summary>
    private bool PutWindow()
    {
        if (_poolAddress == 0 || !TryChoose(out var slot) || _isSliding[_models[slot]])
        {
            return Create();
        }

        if (_isOpen[slot] && random.Next(2) == 0)
        {
            var question = new WindowRecord { Slot = (uint)slot, Ticket = (ulong)random.NextInt64() };
            return Put("measure window", SubmissionKind.MeasureWindow, Bytes(in question));
        }

        var record = new SequenceRecord { Slot = (uint)slot };
        var isPut = _isOpen[slot] ? Put("close window", SubmissionKind.CloseWindow, Bytes(in record)) : Put("open window", SubmissionKind.OpenWindow, Bytes(in record));
        _isOpen[slot] ^= isPut;
        return isPut;
    }

    /// <summary>Enters what the tokens of a step's windows cover: within the pool, as the client has it.</summary>
    private void LookAtWindows(HostileLane lane, ulong step, ReadOnlySpan<SequenceView> views, long blockBytes)
    {
        var windows = lane.WindowsOf(step);
        for (var i = 0; i < windows.Length; i++)
        {
            var address = windows[i].Address;
            if ((address != 0) != (windows[i].IsOpen && (views[i].Flags & ViewFlags.Refused) == 0))
            {
                tally.Failure ??= $"Sequence {i} of a step of connection {number} has a window at 0x{address:x}; open: {windows[i].IsOpen}, flags: {views[i].Flags}.";
            }

            if (address == 0)
            {
                continue;
            }

            // 16 tokens fill a block.
            var (granule, rest) = Math.DivRem(address - (ulong)_poolAddress, KvShape.GranuleBytes);
            var bytes = views[i].TokenCount * (blockBytes / 16);
            if (rest != 0 || granule > uint.MaxValue)
            {
                tally.Failure ??= $"A window of connection {number} lies at 0x{address:x}; it said that the pool lies at 0x{_poolAddress:x}.";
            }
            else if (coverage.Enter(connection.Welcome!.Client, (uint)granule, bytes))
            {
                _entered.Add(((uint)granule, bytes));
            }
        }
    }
}
