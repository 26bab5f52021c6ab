"""The control connection of a kvcached client (docs/protocol.md, "Control connection"), and whether its daemon lives. For kvcached.py; not thread-safe."""

import collections
import json
import os
import select
import socket
import struct
import time

VERSION = 1

# How often one looks whether the daemon lives; how long one that was called may take for a turn before one looks whether it has been stopped, and before it is given
# up, stopped or not; how long the reason of one that has closed the connection is waited for. Seconds.
LOOK_INTERVAL, STOP_SUSPICION, SILENCE_LIMIT, REASON_PATIENCE = 0.05, 0.3, 20.0, 0.3
# Most bytes of a message of a client, of one of a daemon, and of a socket's path.
LONGEST_REQUEST, LONGEST_MESSAGE, LONGEST_PATH = 64 << 10, 4 << 20, 107


class KvcachedError(Exception):
    """The daemon refused a request; error is its kind, as the protocol names it."""

    def __init__(self, error, message):
        super().__init__(message)
        self.error = error


class DaemonLost(KvcachedError):
    """The daemon is gone, has been stopped, or has disconnected this client."""

    def __init__(self, message):
        super().__init__("DaemonLost", message)


class NoDaemon(DaemonLost):
    """No daemon answers on the path: it has not begun to listen yet, or has ended."""


class Control:
    """The control connection, and whether the daemon lives."""

    def __init__(self, path, timeout):
        if not 1 <= len(os.fsencode(path)) <= LONGEST_PATH:
            raise ValueError(f"the socket's path is {path!r}; it must have 1 to {LONGEST_PATH} bytes")
        self.fds, self._timeout = [], timeout
        self._buffer, self._inbox, self._requests = b"", collections.deque(), 0
        self._ended, self._goodbye, self._lost, self._closed = False, None, None, False
        self._heartbeat = self._is_closed = self._event = self._beat = self._called = None
        self._looked = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            (self._pid, _, _) = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            self._socket.setblocking(False)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise NoDaemon(f"no daemon answers on {path}: {error}") from error
            raise

    def watch(self, heartbeat, is_closed, event):
        """From now on the daemon's memory tells too: its heartbeat, and whether it has closed the connection. event, an eventfd and from now on this object's, calls it."""
        self._heartbeat, self._is_closed, self._event = heartbeat, is_closed, event

    def ask(self, request):
        """Has a request answered."""
        self.raise_if_over()
        frame = self._frame(request | {"id": self._requests + 1})
        while self.fds:  # of a reply that nobody waited for
            os.close(self.fds.pop())
        self._requests += 1
        self._write(frame)
        while True:
            reply = self.receive()
            if reply["type"] == "error" and reply.get("id", 0) in (0, self._requests):
                raise KvcachedError(reply["error"], reply["message"])
            if reply.get("id") == self._requests:
                return reply

    def receive(self):
        """The next message."""
        deadline = time.monotonic() + self._timeout
        while not self._inbox:
            if self._ended:
                raise self._lose("it has closed the connection")
            self._await(select.POLLIN, deadline)
            self._fill()
        return self._inbox.popleft()

    def close(self):
        """Says goodbye, waits for nothing, and closes what it owns; check and ask raise ValueError from then on."""
        if self._closed:
            return
        self._closed = True
        try:
            self._socket.send(self._frame({"type": "goodbye"}))
        except OSError:
            pass  # it is gone, or has been stopped: it learns by the end of the connection
        self._socket.close()
        for fd in self.fds + ([] if self._event is None else [self._event]):
            os.close(fd)
        self.fds, self._event, self._heartbeat, self._is_closed = [], None, None, None

    def check(self):
        """Raises where the daemon is lost; looks every now and then."""
        self.raise_if_over()
        if self._is_closed():
            raise self._lose("it has closed the connection")
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL:
            return
        self._fill()
        if self._ended:
            raise self._lose("its process has ended, or it has closed the connection")
        self._look(now)

    def _look(self, now):
        """Raises where the daemon has been stopped or does not answer. One that sleeps does not beat: it is called, and has until the next looks."""
        self._looked = now
        beat = 0 if self._heartbeat is None else self._heartbeat()
        if beat != self._beat:
            self._beat, self._called = beat, None
            return
        if self._event is not None:
            os.eventfd_write(self._event, 1)
        if self._called is None:
            self._called = now
        silence = now - self._called
        if silence > STOP_SUSPICION and self._is_stopped():
            raise self._lose("its process has been stopped", 0)
        if silence > SILENCE_LIMIT:
            raise self._lose(f"it has not answered for {SILENCE_LIMIT} s", 0)

    def _is_stopped(self):
        """Whether the daemon has been stopped by a signal or a debugger; False where that cannot be told, as in another namespace of processes."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return False

    def raise_if_over(self):
        """Raises where it is known that nothing more comes of the connection; looks at nothing."""
        if self._closed:
            raise ValueError("the client has been closed")
        if self._lost is not None:
            raise DaemonLost(self._lost)

    def _lose(self, how, patience=REASON_PATIENCE):
        """What is to be raised: with the daemon's reason, where it gave one. Its memory says that it has closed before the socket does, by which the reason comes."""
        deadline = time.monotonic() + patience
        while self._goodbye is None and not self._ended:
            if not self._fill():
                if time.monotonic() >= deadline:
                    break
                self._poll(select.POLLIN)
        self._lost = f"the daemon is lost: {how}" if self._goodbye is None else f"the daemon has disconnected this client: {self._goodbye}"
        return DaemonLost(self._lost)

    def _await(self, events, deadline):
        """Waits for the socket, for a while."""
        self._poll(events)
        now = time.monotonic()
        if now - self._looked >= LOOK_INTERVAL:
            self._look(now)
        if now > deadline:
            raise self._lose(f"it has not answered for {self._timeout} s", 0)

    def _poll(self, events):
        poll = select.poll()
        poll.register(self._socket, events)
        poll.poll(1000 * LOOK_INTERVAL)

    def _write(self, data):
        deadline = time.monotonic() + self._timeout
        while data:
            try:
                data = data[self._socket.send(data):]
            except BlockingIOError:
                self._await(select.POLLOUT, deadline)
            except OSError as error:
                raise self._lose(str(error)) from error

    @staticmethod
    def _frame(message):
        data = json.dumps(message, allow_nan=False).encode()
        if len(data) > LONGEST_REQUEST:
            raise ValueError(f"a request of {len(data)} bytes; a daemon reads at most {LONGEST_REQUEST}")
        return struct.pack("<I", len(data)) + data

    def _fill(self):
        """Reads what has come. False where nothing has."""
        try:
            data, fds, flags, _ = socket.recv_fds(self._socket, 65536, 16)
        except BlockingIOError:
            return False
        except OSError:
            data, fds, flags = b"", [], 0
        self._ended = not data
        self.fds += fds
        for fd in fds:
            os.set_inheritable(fd, False)
        if flags & socket.MSG_CTRUNC:
            self._lost = "descriptors that the daemon has sent have not arrived: this process has as many open as it may"
            raise DaemonLost(self._lost)
        self._buffer += data
        while len(self._buffer) >= 4:
            (size,) = struct.unpack_from("<I", self._buffer)
            if size <= LONGEST_MESSAGE and len(self._buffer) < 4 + size:
                break
            message, self._buffer = self._parse(self._buffer[4:4 + size]), self._buffer[4 + size:]
            if message["type"] == "goodbye":
                self._ended, self._goodbye = True, message.get("reason", "it said goodbye")
            else:
                self._inbox.append(message)
        return True

    def _parse(self, data):
        try:
            message = json.loads(data)
            if len(data) <= LONGEST_MESSAGE and isinstance(message, dict) and "type" in message:
                return message
        except ValueError:
            pass
        self._lost = "what answers is no daemon of this protocol"
        raise DaemonLost(self._lost)
