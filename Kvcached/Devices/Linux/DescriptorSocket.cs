using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Kvcached.Devices.Linux;

/// <summary>
/// Descriptors that travel with bytes over a Unix stream socket. They come with the first of the bytes that they were sent with: one call of
/// <see cref="Receive"/> never joins the bytes of two messages that carry descriptors. Neither call blocks, whatever the socket's mode. Thread-safe as the socket is.
/// </summary>
internal static unsafe class DescriptorSocket
{
    /// <summary>Descriptors of one message.</summary>
    internal const int MostDescriptors = 16;

    private const int ControlBytes = 16 + (MostDescriptors * sizeof(int));

    /// <summary>Sends bytes, and with the first of them descriptors, which the receiver gets copies of.</summary>
    /// <param name="socket">A connected Unix stream socket.</param>
    /// <param name="bytes">At least one.</param>
    /// <param name="descriptors">At most <see cref="MostDescriptors"/>.</param>
    /// <returns>Bytes sent, which may be fewer; the descriptors went along unless it is 0: the socket is full.</returns>
    /// <exception cref="SocketException">The other end is gone, or the kernel refuses.</exception>
    internal static int Send(Socket socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<SafeHandle> descriptors)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bytes.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, MostDescriptors);
        var control = stackalloc byte[ControlBytes];
        var held = 0;
        try
        {
            for (; held < descriptors.Length; held++)
            {
                var isHeld = false;
                descriptors[held].DangerousAddRef(ref isHeld);
                NumbersOf((LibC.ControlHeader*)control)[held] = (int)descriptors[held].DangerousGetHandle();
            }

            *(LibC.ControlHeader*)control = new LibC.ControlHeader
            {
                Bytes = (nuint)(sizeof(LibC.ControlHeader) + (held * sizeof(int))),
                Level = LibC.SocketLevel,
                Type = LibC.ScmRights,
            };
            fixed (byte* data = bytes)
            {
                var vector = new LibC.IoVector { Base = data, Bytes = (nuint)bytes.Length };
                var message = new LibC.MessageHeader { Vectors = &vector, VectorCount = 1 };
                if (held > 0)
                {
                    message.Control = control;
                    message.ControlBytes = (nuint)Align(sizeof(LibC.ControlHeader) + (held * sizeof(int)));
                }

                var sent = Repeat(socket, &message, LibC.MsgDontWait | LibC.MsgNoSignal, &LibC.SendMessage);
                return sent != -1 ? (int)sent : Marshal.GetLastPInvokeError() == LibC.Eagain ? 0 : throw new SocketException(Marshal.GetLastPInvokeError());
            }
        }
        finally
        {
            while (held-- > 0)
            {
                descriptors[held].DangerousRelease();
            }
        }
    }

    /// <summary>Receives bytes, and the descriptors that came with them, close-on-exec.</summary>
    /// <param name="socket">A connected Unix stream socket.</param>
    /// <param name="bytes">Where to put the bytes.</param>
    /// <param name="descriptors">Where to put the descriptors, which are the caller's from then on. More than that is <see cref="ReceiveStatus.TooManyDescriptors"/>.</param>
    /// <exception cref="SocketException">The kernel refuses.</exception>
    internal static Received Receive(Socket socket, Span<byte> bytes, Span<SafeFileHandle?> descriptors)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bytes.Length);
        var control = stackalloc byte[ControlBytes];
        fixed (byte* data = bytes)
        {
            var vector = new LibC.IoVector { Base = data, Bytes = (nuint)bytes.Length };
            var message = new LibC.MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlBytes = ControlBytes };
            var count = Repeat(socket, &message, LibC.MsgDontWait | LibC.MsgCmsgCloexec, &LibC.ReceiveMessage);
            if (count == -1)
            {
                return Marshal.GetLastPInvokeError() switch
                {
                    LibC.Eagain => new Received(ReceiveStatus.WouldBlock, 0, 0),
                    LibC.Econnreset or LibC.Epipe => new Received(ReceiveStatus.Ended, 0, 0),
                    var error => throw new SocketException(error),
                };
            }

            // What came is taken before anything is judged, so that no descriptor is left open by mistake. The kernel echoes close-on-exec in the flags.
            var taken = Take(&message, descriptors, out var fits);
            if (!fits || (message.Flags & LibC.MsgTruncatedControl) != 0)
            {
                foreach (ref var descriptor in descriptors[..taken])
                {
                    descriptor!.Dispose();
                    descriptor = null;
                }

                return new Received(ReceiveStatus.TooManyDescriptors, (int)count, 0);
            }

            return new Received(count == 0 ? ReceiveStatus.Ended : ReceiveStatus.Ok, (int)count, taken);
        }
    }

    private static int Take(LibC.MessageHeader* message, Span<SafeFileHandle?> descriptors, out bool fits)
    {
        var taken = 0;
        fits = true;
        var at = (byte*)message->Control;
        var left = (long)message->ControlBytes;
        while (left >= sizeof(LibC.ControlHeader))
        {
            var header = (LibC.ControlHeader*)at;
            var bytes = (long)header->Bytes;
            if (header->Level == LibC.SocketLevel && header->Type == LibC.ScmRights)
            {
                var count = (bytes - sizeof(LibC.ControlHeader)) / sizeof(int);
                for (var i = 0; i < count; i++)
                {
                    var descriptor = new SafeFileHandle(NumbersOf(header)[i], ownsHandle: true);
                    if (taken < descriptors.Length)
                    {
                        descriptors[taken++] = descriptor;
                    }
                    else
                    {
                        descriptor.Dispose();
                        fits = false;
                    }
                }
            }

            at += Align((int)bytes);
            left -= Align((int)bytes);
        }

        return taken;
    }

    private static int* NumbersOf(LibC.ControlHeader* header) => (int*)(header + 1);

    private static int Align(int bytes) => (bytes + sizeof(ulong) - 1) & ~(sizeof(ulong) - 1);

    private static nint Repeat(Socket socket, LibC.MessageHeader* message, int flags, delegate*<SafeHandle, LibC.MessageHeader*, int, nint> call)
    {
        nint result;
        while ((result = call(socket.SafeHandle, message, flags)) == -1 && Marshal.GetLastPInvokeError() == LibC.Eintr)
        {
        }

        return result;
    }
}

/// <summary>What came of receiving.</summary>
internal enum ReceiveStatus
{
    /// <summary>Bytes came, and perhaps descriptors.</summary>
    Ok,

    /// <summary>There is nothing yet.</summary>
    WouldBlock,

    /// <summary>The other end has closed the connection, or its process has ended.</summary>
    Ended,

    /// <summary>More descriptors came than there was room for; all have been closed.</summary>
    TooManyDescriptors,
}

/// <summary>What was received.</summary>
/// <param name="Status">What came of it.</param>
/// <param name="Bytes">Bytes received.</param>
/// <param name="Descriptors">Descriptors received.</param>
internal readonly record struct Received(ReceiveStatus Status, int Bytes, int Descriptors);
