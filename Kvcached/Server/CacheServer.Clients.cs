using System.ComponentModel;
using Kvcached.Devices;
using Kvcached.Devices.Linux;
using Kvcached.Engine;
using Kvcached.Protocol;

namespace Kvcached.Server;

// Clients come and go. All of this runs on the server's thread, but for what says otherwise.
internal sealed partial class CacheServer
{
    /// <summary>Makes what a client shares with the daemon, and the client. Any thread.</summary>
    /// <exception cref="KvException">There are as many clients as there may be, or no ring has so many bytes.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has not got that much.</exception>
    public async Task<ClientSession> ConnectAsync(HelloMessage hello, int pid, PidFd process, ControlConnection connection)
    {
        var number = await PostAsync(Admit).ConfigureAwait(false);
        try
        {
            return await MakeAsync(
                () => new SharedAreas(_device, _waker, number, hello.RingBytes, _options.MaxLanes),
                areas => Connect(new ClientIdentity(number, hello.Name, hello.Tenant, pid), areas, process, connection)).ConfigureAwait(false);
        }
        catch
        {
            Post(() => _places--);
            throw;
        }
    }

    /// <summary>The client is served no more. Nothing of it is given to others before it has been proved that it writes no more.</summary>
    public void Condemn(ClientSession session, string reason)
    {
        if (session.Reason is not null)
        {
            return;
        }

        (session.Reason, session.CondemnedAt) = (reason, Now);
        session.Areas.Close();
        session.Connection.End(reason);
        _host.Engine.Condemn(session.Client);
        Condemned?.Invoke(session.Identity, reason);
    }

    /// <summary>Tells all clients that they are served no more.</summary>
    /// <returns>How many there were.</returns>
    public int CondemnAll(string reason)
    {
        _sessions.ForEach(session => Condemn(session, reason));
        return _sessions.Count;
    }

    /// <summary>Looks at processes and leases some times a second, for that takes system calls; and at what has been reclaimed with every turn.</summary>
    private void Watch()
    {
        var now = Now;
        var isDue = now - _watchedAt >= _watchInterval.TotalMilliseconds / 2;
        if (isDue)
        {
            _watchedAt = now;
            _host.Engine.Tick(now);
        }

        for (var i = _sessions.Count - 1; i >= 0; i--)
        {
            var session = _sessions[i];
            if (isDue && session.Reason is null)
            {
                WatchServing(session);
            }
            else if (isDue)
            {
                WatchDying(session, now);
            }

            if (session.Client.Life == ClientLife.Reclaimed)
            {
                _sessions.RemoveAt(i);
                GiveBack(session);
            }
        }
    }

    private void GiveBack(ClientSession session) => _service.Post(() =>
    {
        session.Dispose();
        Post(() => Leave(session.Identity));
    });

    /// <summary>A place for one client more.</summary>
    /// <returns>Its number.</returns>
    private int Admit()
    {
        if (_places == _options.MaxClients)
        {
            throw new KvException(KvError.CapacityExceeded, $"The daemon has {_options.MaxClients} clients, which is its limit.");
        }

        _places++;
        return _nextNumber++;
    }

    private ClientSession Connect(ClientIdentity identity, SharedAreas areas, PidFd process, ControlConnection connection)
    {
        var hasEntered = false;
        ClientSession session;
        try
        {
            var tenant = _tenants.Enter(identity.Tenant);
            hasEntered = true;
            var client = _host.Engine.OpenClient((long)(_options.PoolBytes * _options.MaxPinnedFraction), (long)(_options.TableBytes * _options.MaxPinnedFraction), tenant.State);
            session = new ClientSession(_host.Engine, client, areas, identity, tenant.Latencies, process, connection, _options.MaxSequences);
        }
        catch
        {
            _service.Post(areas.Dispose);
            if (hasEntered)
            {
                _tenants.Leave(identity.Tenant);
            }

            throw;
        }

        _sessions.Add(session);
        Connected?.Invoke(identity);
        return session;
    }

    private void Leave(ClientIdentity identity)
    {
        _places--;
        _tenants.Leave(identity.Tenant);
        Reclaimed?.Invoke(identity);
    }

    private void WatchServing(ClientSession session)
    {
        if (session.Process.HasExited)
        {
            Condemn(session, "its process has ended");
        }
        else if (_host.Engine.IsPastLease(session.Client, (long)_options.Lease.TotalMilliseconds))
        {
            Condemn(session, $"it has held a step for longer than its lease of {_options.Lease.TotalSeconds} s");
        }
    }

    /// <summary>
    /// Proves that a condemned client writes no more: its process has ended; or nothing that it began can be running, because its steps have ended or it
    /// said so. One that lives past its lease is killed, if the options say so.
    /// </summary>
    private void WatchDying(ClientSession session, long now)
    {
        if (session.Client.Life == ClientLife.Condemned)
        {
            if (session.Process.HasExited || session.SaidGoodbye || !session.Client.HasLive)
            {
                _host.Engine.ProveGone(session.Client);
            }
            else if (_options.KillsPastLease && now - session.CondemnedAt > _options.Lease.TotalMilliseconds)
            {
                TryKill(session);
            }
        }
    }

    /// <summary>Another user's process may not be killed: it keeps what its steps pin until it ends.</summary>
    private static void TryKill(ClientSession session)
    {
        try
        {
            session.Process.Send(PidFd.Kill);
        }
        catch (Win32Exception)
        {
            // As with clients that are not to be killed.
        }
    }
}
