using System.CommandLine;
using Kvcached.Daemon.Hardware;
using Kvcached.Protocol;
using Kvcached.Server;

namespace Kvcached.Daemon.Serve;

/// <summary>A setting of one value: the flag, its name in the file and after <c>KVCACHED_</c>, and what it may be.</summary>
internal sealed class ServeSetting
{
    public static readonly ServeSetting Socket = new("Socket", "--socket", "path", "Path of the Unix socket (default: kvcached.sock in $XDG_RUNTIME_DIR, or in the folder for temporary files).", $"a path of 1 to {SocketPath.MostBytes} bytes");

    public static readonly ServeSetting Pool = new("Pool", "--pool", "size", "Device memory for blocks: a size, or FLOOR..CEILING (default 1GiB).", "a multiple of 2MiB up to 1TiB, or FLOOR..CEILING of two, the floor not above the ceiling", "1GiB");

    public static readonly ServeSetting Cold = new("Cold", "--cold", "size", "Host memory for cold copies (default 4GiB).", "a multiple of 2MiB, 0 to 1TiB", "4GiB");

    public static readonly ServeSetting Table = new("Table", "--table", "size", "Device memory for block tables (default 4MiB).", "a multiple of 16KiB, 16KiB to 4GiB", "4MiB");

    public static readonly ServeSetting Device = new("Device", "--device", "name", "The device: cpu (default), opencl, cuda or auto; see 'kvcached devices'.", DeviceName.Allowed, "cpu");

    public static readonly ServeSetting Lease = new("Lease", "--lease", "seconds", "How long a client may hold a step (default 60).", "a number of seconds, 0.1 to 2147483", "60");

    public static readonly ServeSetting OnLease = new("OnLease", "--on-lease", "action", "What becomes of a client past its lease: kill (default) or quarantine.", "kill or quarantine", "kill");

    public static readonly ServeSetting MaxPinned = new("MaxPinned", "--max-pinned", "fraction", "What one client has under way may keep so much of the pool from others (default 0.75).", "a fraction above 0 and at most 1, such as 0.75", "0.75");

    public static readonly ServeSetting MaxClients = new("MaxClients", "--max-clients", "count", "Clients at a time (default 64).", $"a whole number, 1 to {ServerOptions.MostClients}", "64");

    public static readonly IReadOnlyList<ServeSetting> All = [Socket, Pool, Cold, Table, Device, Lease, OnLease, MaxPinned, MaxClients];

    private ServeSetting(string name, string flag, string help, string description, string allowed, string? fallback = null)
    {
        (Name, Allowed, Default) = (name, allowed, fallback);
        Flag = new Option<string?>(flag) { Description = description, HelpName = help };
    }

    public string Name { get; }

    public Option<string?> Flag { get; }

    /// <summary>What it may be: the end of a message that says that it is something else.</summary>
    public string Allowed { get; }

    /// <summary>Its text where nothing gives it one; null for what is found out then.</summary>
    public string? Default { get; }

    public static ServeSetting? Find(string name) => All.FirstOrDefault(setting => setting.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
}
