using Kvcached.Bench.Ratios;
using Kvcached.Devices;
using Kvcached.Devices.Cuda;

namespace Kvcached.Bench.GpuCheck;

/// <summary>
/// What a stream sees that waits for a word which the stream of another process was to write, when that process is killed: whether it waits on, without an error, until the
/// host writes the word in the dead one's place, and whether the context works afterwards.
/// </summary>
internal static class KilledPeer
{
    private const string Name = "killed_peer";
    private static readonly TimeSpan _glimpse = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(10);

    public static GpuFinding Run(GpuRig rig)
    {
        using var words = new HostWords(rig.Context);
        using var stream = new GpuStream(rig.Context);
        using (var peer = new GpuPeer(rig.Ordinal, WordsIn.Memfd, 1, words.Descriptor))
        {
            stream.WaitFor(words.Address + GpuPeer.ReplyAt, 1);
            peer.Kill();
        }

        try
        {
            if (stream.TrySynchronize(_glimpse))
            {
                return GpuFinding.Answer(Name, isSo: false, $"The wait ended by itself; the word is {words.Read(GpuPeer.ReplyAt)}.");
            }

            words.Write(GpuPeer.ReplyAt, 1);
            if (!stream.TrySynchronize(_limit))
            {
                return GpuFinding.Answer(Name, isSo: false, "The wait did not end when the host wrote the word.");
            }

            stream.Write(words.Address + GpuPeer.RequestAt, 7);
            stream.Synchronize();
            return GpuFinding.Answer(
                Name,
                isSo: words.Read(GpuPeer.RequestAt) == 7,
                "The waiter waits on, without an error; it goes on once the host writes the word, and the context works.",
                new ExtraField("waited_s", _glimpse.TotalSeconds));
        }
        catch (Exception e) when (e is DeviceLostException or CudaException)
        {
            return GpuFinding.Answer(Name, isSo: false, $"The waiter's context saw an error: {e.Message}");
        }
    }
}
