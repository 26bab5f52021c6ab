using System.Buffers.Binary;
using System.Text;
using Kvcached.Devices.Linux;
using Kvcached.Protocol;

namespace Kvcached.Bench.Fuzz;

/// <summary>
/// One connection whose control messages are wrong: before the hello, after it, or once attached. What is no message of the protocol must end the connection, with a reason; what is
/// refused must be answered.
/// </summary>
internal sealed class ControlAttack(HostileConnection connection, ConnectionTally tally, int number, Random random)
{
    private static readonly string[] _types =
    [
        "hello", "welcome", "map", "unmap", "ready", "registerModel", "model", "openLane", "lane", "getStatistics", "statistics", "compact", "trim", "getStatus", "status", "limit", "goodbye", "ok", "error", "nothing",
    ];

    private static readonly string[] _members =
    [
        "id", "version", "attach", "tenant", "name", "ringBytes", "layouts", "depth", "maxBatch", "maxLayouts", "maxPages", "poolAddress", "weight", "reason", "planes", "layers", "heads", "headDim", "elementType", "tokensPerBlock", "axisOrder", "type",
    ];

    public void Run()
    {
        // Half of them are known to the daemon before they go wrong.
        var greeting = random.Next(4);
        if (greeting > 0)
        {
            tally.Count("control: valid");
            var hello = new HelloMessage { Version = ControlFrame.Version, Attach = greeting == 1, Tenant = $"hostile{number % 3}", Name = $"fuzz {number}", RingBytes = 1 << 14 };
            if (greeting == 1 ? !connection.TryAttach(hello) : connection.Ask(hello) is not OkMessage)
            {
                tally.Failure ??= $"A valid hello of connection {number} was not answered: {connection.Reason ?? "no reason"}.";
                return;
            }

            tally.IsAttached = greeting == 1;
        }

        for (var messages = random.Next(1, 30); messages > 0; messages--)
        {
            if (!Perhaps(greeting > 0))
            {
                break;
            }

            connection.LooksClosed(TimeSpan.Zero);
        }

        Finish();
    }

    /// <summary>A message that the daemon may take, refuse or disconnect for.</summary>
    private bool Perhaps(bool isGreeted) => random.Next(isGreeted ? 8 : 4) switch
    {
        0 => Send("control: random members", Framed(RandomObject(depth: 0))),
        1 => Send("control: bytes of a message changed", Framed(Changed(Valid()))),
        2 => SendDescriptors(),
        3 => Send("control: valid where it does not belong", Framed(Valid())),
        4 => Send("control: out of range", Framed(OutOfRange())),
        _ => Send("control: valid", Framed(Valid())),
    };

    private void Finish()
    {
        var kind = random.Next(9);
        var sent = kind switch
        {
            0 => Send("offence: length 0", [0, 0, 0, 0]),
            1 => Send("offence: negative length", Header(int.MinValue >> random.Next(31))),
            2 => Send("offence: length of a giant", Header(ControlFrame.MaxRequestBytes + 1 + random.Next(1 << 30))),
            3 => Send("offence: random bytes", Framed(RandomBytes())),
            4 => Send("offence: no JSON", Framed("{\"type\":\"getStatus\""u8.ToArray())),
            5 => Send("offence: nested", Framed(Encoding.UTF8.GetBytes(new string('[', 30000)))),
            6 => Send("offence: the daemon's own", Framed("{\"type\":\"welcome\",\"version\":1,\"daemon\":\"\",\"client\":1,\"pid\":1,\"device\":\"\",\"poolBytes\":1,\"entriesBytes\":1,\"ringBytes\":1,\"maxSequences\":1,\"maxLanes\":1,\"leaseMilliseconds\":1,\"extents\":1}"u8.ToArray())),
            7 => Truncate(),
            _ => Flood(),
        };

        // A flood fills the way by which the reason would come: only the daemon's log has it.
        var hearsReason = kind < 7;
        tally.IsOffender = hearsReason;
        if (!connection.LooksClosed(HostileConnection.Patience))
        {
            tally.Failure ??= $"Connection {number} broke the protocol ({kind}) and was not disconnected within {HostileConnection.Patience.TotalSeconds} s.";
        }
        else if (hearsReason && connection.Reason is null)
        {
            tally.Failure ??= $"Connection {number} was disconnected without a reason ({kind}, {sent}).";
        }

        tally.Reason = connection.Reason;
    }

    private bool Truncate()
    {
        tally.Count("offence: truncated");
        var frame = Framed(Valid());
        connection.Send(frame.AsSpan(0, random.Next(1, frame.Length)), []);
        connection.EndWriting();
        return true;
    }

    /// <summary>Asks and does not read the answers, until the daemon has had enough.</summary>
    private bool Flood()
    {
        var frame = Framed("{\"type\":\"getStatus\",\"id\":1}"u8.ToArray());
        for (var i = 0; i < 5000 && connection.Send(frame, []); i++)
        {
            tally.Count("control: flood");
        }

        connection.EndWriting();
        return true;
    }

    private bool Send(string name, byte[] frame)
    {
        tally.Count(name);
        return connection.Send(frame, []);
    }

    /// <summary>Descriptors that nobody asked for.</summary>
    private bool SendDescriptors()
    {
        tally.Count("control: descriptors");
        using var descriptor = EventFd.Create();
        return connection.Send(Framed(Valid()), [descriptor, descriptor, descriptor]);
    }

    /// <summary>A message of the protocol, of this client's own tenants only: limits are for whoever may connect.</summary>
    private byte[] Valid() => Encoding.UTF8.GetBytes(random.Next(10) switch
    {
        0 => "{\"type\":\"getStatus\",\"id\":7}",
        1 => "{\"type\":\"getStatistics\"}",
        2 => "{\"id\":3,\"type\":\"compact\"}",
        3 => "{\"type\":\"trim\",\"id\":9}",
        4 => "{\"type\":\"ready\",\"id\":-1}",
        5 => $"{{\"type\":\"limit\",\"id\":2,\"tenant\":\"hostile{random.Next(3)}\",\"weight\":{random.Next(1, 9)}}}",
        6 => "{\"type\":\"openLane\",\"id\":4,\"depth\":2,\"maxBatch\":4,\"maxLayouts\":1}",
        7 => $"{{\"type\":\"openLane\",\"id\":4,\"depth\":2,\"maxBatch\":4,\"maxLayouts\":1,\"poolAddress\":{random.NextInt64(1, 1L << 50) * Environment.SystemPageSize}}}",
        8 => $"{{\"type\":\"registerModel\",\"id\":5,\"name\":\"m\",\"layouts\":[{{\"layers\":1,\"heads\":{1 << random.Next(3)},\"headDim\":256}}]}}",
        _ => "{\"type\":\"getStatus\",\"unknown\":[1,{\"a\":null}]}",
    });

    private byte[] OutOfRange() => Encoding.UTF8.GetBytes(random.Next(6) switch
    {
        0 => $"{{\"type\":\"openLane\",\"depth\":{Number()},\"maxBatch\":{Number()},\"maxLayouts\":{Number()},\"maxPages\":{Number()},\"poolAddress\":{(random.Next(2) == 0 ? 0 : random.NextInt64(long.MinValue, long.MaxValue))}}}",
        1 => $"{{\"type\":\"registerModel\",\"name\":\"m\",\"layouts\":[{{\"layers\":{Number()},\"heads\":{Number()},\"headDim\":{Number()},\"tokensPerBlock\":{Number()},\"windowTokens\":{Number()},\"pageTable\":true}}]}}",
        2 => $"{{\"type\":\"limit\",\"tenant\":\"hostile{random.Next(3)}\",\"minBytes\":{-random.NextInt64()},\"weight\":{-random.Next()}}}",
        3 => "{\"type\":\"registerModel\",\"name\":\"m\",\"layouts\":[]}",
        4 => $"{{\"type\":\"limit\",\"tenant\":\"{new string('x', random.Next(65, 2000))}\"}}",
        _ => $"{{\"type\":\"registerModel\",\"name\":\"m\",\"layouts\":[{string.Join(',', Enumerable.Repeat("{\"layers\":1,\"heads\":1,\"headDim\":256}", random.Next(60, 200)))}]}}",
    });

    private int Number() => random.Next(4) switch { 0 => int.MaxValue, 1 => int.MinValue >> random.Next(31), 2 => 0, _ => 1 << random.Next(31) };

    private byte[] Changed(byte[] message)
    {
        for (var changes = random.Next(1, 4); changes > 0; changes--)
        {
            message[random.Next(message.Length)] = (byte)random.Next(256);
        }

        return message;
    }

    private byte[] RandomObject(int depth)
    {
        var text = new StringBuilder("{");
        if (random.Next(4) > 0)
        {
            text.Append($"\"type\":\"{RandomType()}\"");
        }

        for (var members = random.Next(6); members > 0; members--)
        {
            var name = _members[random.Next(_members.Length)];
            text.Append(text.Length > 1 ? "," : string.Empty).Append($"\"{name}\":{Value(depth)}");
        }

        return Encoding.UTF8.GetBytes(text.Append('}').ToString());
    }

    /// <summary>Limits only with members that harm nobody but this client.</summary>
    private string RandomType() => _types[random.Next(_types.Length)] is var type && type == "limit" ? "getStatus" : type;

    private string Value(int depth) => random.Next(10) switch
    {
        0 => "null",
        1 => "true",
        2 => $"{Number()}",
        3 => $"{random.NextDouble() * 1e300:R}",
        4 => $"\"{new string('a', random.Next(100))}\"",
        5 => "\"\\ud800\"",
        6 => "[]",
        7 => "\"\\u0000\\n\"",
        8 when depth < 5 => Encoding.UTF8.GetString(RandomObject(depth + 1)),
        _ => "99999999999999999999999",
    };

    private byte[] RandomBytes()
    {
        var bytes = new byte[random.Next(1, 400)];
        random.NextBytes(bytes);

        // Never JSON, by chance or not.
        bytes[0] = 0xFF;
        return bytes;
    }

    private static byte[] Framed(byte[] json)
    {
        var frame = new byte[ControlFrame.HeaderBytes + json.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, json.Length);
        json.CopyTo(frame, ControlFrame.HeaderBytes);
        return frame;
    }

    private static byte[] Header(int bytes)
    {
        var frame = new byte[ControlFrame.HeaderBytes];
        BinaryPrimitives.WriteInt32LittleEndian(frame, bytes);
        return frame;
    }
}
