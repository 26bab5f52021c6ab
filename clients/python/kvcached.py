"""A client of the kvcached daemon in Python 3, with the standard library alone. It speaks the protocol of docs/protocol.md.

    with Client("/run/user/1000/kvcached.sock", tenant="a") as client:
        model = client.register_model("tiny", [Layout(layers=2, heads=2, head_dim=64, element_type="float16")])
        lane = client.open_lane()
        sequence = client.create_sequence(model)
        step = lane.begin([(sequence, 16)])
        step.wait_begin()
        for view in step.views():
            memory = step.token(view, 0)          # a writable memoryview of one token's bytes of layer 0, plane 0, head 0
        step.end()

Not thread-safe. A word that the other side looks at meanwhile (heads, tails, timelines) is read and written as an item of a memoryview of native words, which CPython
does by one load or store. struct.pack_into does not: it fills the target with zeros first, and the daemon would see a tail or a timeline go back. What lies before
a word is stored before it, and what is behind a word is loaded after it, because x86-64 keeps loads in order and stores in order. Python has no fence to say so to
another machine: on arm64 the daemon could see a tail before the record, and this client a begin point before the views, so it is not for arm64. Other
interpreters than CPython have not been tried.
"""

import ctypes
import json
import mmap
import os
import socket
import struct
import time
from dataclasses import dataclass

VERSION = 1

# RingLayout: where words lie in the areas (docs/protocol.md, "Areas").
ATTENTION, SUBMISSION_HEAD, COMPLETION_TAIL, COMPLETION_SEQUENCE, HEARTBEAT, DAEMON_STATE = 0, 64, 128, 192, 256, 320
SUBMISSION_TAIL, COMPLETION_HEAD, CLIENT_SLEEPS = 0, 64, 128
RING = 4096
TIMELINE_BYTES = 64
ATTEND_SUBMISSIONS, ATTEND_SIGNALS = 1, 2

CREATE, FREE, TRUNCATE, COMMIT, BEGIN, TRANSFER = 1, 2, 3, 4, 5, 6
STEP_ANSWER, TRANSFER_ANSWER = 1, 2
CLEAN, EVICT, PREFETCH, MOVE, RESTORE_ORDER = 0, 1, 2, 3, 4

ACCEPTED, BUSY, NEVER_FITS, NO_ROOM, OVER_QUOTA, TOO_MANY_STEPS, UNKNOWN, PENDING = "Accepted", "Busy", "NeverFits", "NoRoom", "OverQuota", "TooManySteps", "Unknown", "Pending"
STATUSES = [ACCEPTED, BUSY, NEVER_FITS, NO_ROOM, OVER_QUOTA]

VIEW_REFUSED = 1
GRANULE = 256

_libc = ctypes.CDLL(None, use_errno=True)
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine)
_FUTEX_WAKE = 1


class KvcachedError(Exception):
    """The daemon refused a request; error is its kind, as the protocol names it."""

    def __init__(self, error, message):
        super().__init__(message)
        self.error = error


class DaemonLost(KvcachedError):
    """The daemon is gone, or has disconnected this client."""

    def __init__(self, message):
        super().__init__("DaemonLost", message)


@dataclass
class Layout:
    """A model's shape: what one block holds."""

    layers: int
    heads: int
    head_dim: int
    planes: int = 2
    element_type: str = "float16"
    tokens_per_block: int = 16
    axis_order: str = "tokenMajor"
    window_tokens: int = 0

    def to_json(self):
        return {
            "layers": self.layers, "heads": self.heads, "headDim": self.head_dim, "planes": self.planes, "elementType": self.element_type,
            "tokensPerBlock": self.tokens_per_block, "axisOrder": self.axis_order, "windowTokens": self.window_tokens,
        }


@dataclass
class View:
    """What a kernel gets for one sequence of a step (docs/table-abi.md)."""

    row_start: int
    block_count: int
    token_count: int
    new_tokens: int
    first_visible_block: int
    flags: int
    sequence_id: int

    @property
    def refused(self):
        return self.flags & VIEW_REFUSED != 0


class Sequence:
    """A growing run of tokens."""

    def __init__(self, client, slot, ident):
        self._client, self.slot, self.id = client, slot, ident

    def truncate(self, tokens):
        """Keeps the first tokens, for steps begun later."""
        self._client._send(TRUNCATE, struct.pack("<Ii", self.slot, tokens))

    def commit(self, count):
        """Tells that the ids of so many more tokens are known."""
        self._client._send(COMMIT, struct.pack("<Ii", self.slot, count))

    def free(self):
        """Frees the sequence. Steps in flight that read it are not disturbed."""
        self._client._send(FREE, struct.pack("<Ii", self.slot, 0))
        self._client._slots.append(self.slot)

    def evict(self, lane):
        """Gives up the device copies. Returns the blocks dropped."""
        return self._client._transfer(EVICT, lane, self, 0)

    def prefetch(self, lane):
        """Reloads what is not on the device. Returns the copies enqueued."""
        return self._client._transfer(PREFETCH, lane, self, 0)

    def move(self, lane, most):
        """Moves up to so many blocks to other places of the pool. Returns the moves enqueued."""
        return self._client._transfer(MOVE, lane, self, most)


class Model:
    """A registered model."""

    def __init__(self, number, layouts, shapes):
        self.number, self.layouts, self.shapes = number, layouts, shapes


class Step:
    """A step that has been begun: its views are there once its begin point has been reached."""

    def __init__(self, lane, number, model, count):
        self.lane, self.number, self.model, self.count = lane, number, model, count

    def wait_begin(self, timeout=30.0):
        """Waits for the begin point."""
        self.lane._wait(self.lane._begin_value, self.number, timeout)

    @property
    def status(self):
        """What has become of the step, as far as the daemon has told."""
        self.lane._client._read_answers()
        return self.lane._statuses.get(self.number, UNKNOWN)

    def views(self, layout=0):
        """The views of the step's sequences, in the order of the batch."""
        lane = self.lane
        at = (self.number % lane.depth * lane.max_layouts + layout) * lane.max_batch * 32
        return [View(*struct.unpack_from("<7I", lane._views, at + 32 * i)) for i in range(self.count)]

    def token(self, view, token, layer=0, plane=0, head=0, layout=0):
        """The bytes of one token of one head: writable memory of the pool. Only between begin and end."""
        shape, kind = self.model.shapes[layout], self.model.layouts[layout]
        block = token >> shape["tokensPerBlockShift"]
        entry = self.lane._client._entries[view.row_start + block]
        at = entry * GRANULE + layer * shape["layerStride"] + plane * shape["planeStride"] + head * shape["headStride"]
        at += (token & ((1 << shape["tokensPerBlockShift"]) - 1)) * shape["tokenStride"]
        size = kind.head_dim * {"byte": 1, "float16": 2, "bFloat16": 2, "float32": 4}[kind.element_type]
        return self.lane._client._pool[at:at + size]

    def end(self):
        """Signals the end point: nothing of the step touches the pool any more."""
        self.lane._signal_end(self.number)


class Lane:
    """An ordered flow of steps."""

    def __init__(self, client, number, first_step, depth, max_batch, max_layouts, views):
        self._client, self.number, self.depth, self.max_batch, self.max_layouts = client, number, depth, max_batch, max_layouts
        self._views = views
        self._at = RING + client._ring_bytes + number * TIMELINE_BYTES
        self._begun = self._answered = first_step - 1
        self._statuses = {}

    def begin(self, batch):
        """Begins a step over [(sequence, new tokens)] and returns at once; None where as many steps are under way as the lane is deep."""
        client = self._client
        client._check()
        client._read_answers()
        number = self._begun + 1
        if number > min(self._begin_value(), self._end_value(), self._answered) + self.depth:
            return None
        body = struct.pack("<IIQ", self.number, len(batch), number) + b"".join(struct.pack("<Ii", sequence.slot, tokens) for sequence, tokens in batch)
        self._begun = number
        self._statuses[number] = PENDING
        self._statuses.pop(number - 2 * self.depth, None)
        client._send(BEGIN, body)
        return Step(self, number, batch[0][0].model, len(batch))

    def _begin_value(self):
        return self._client._daemon_words[self._at // 8]

    def _end_value(self):
        return self._client._own_words[self._at // 8]

    def _signal_end(self, number):
        # A timeline: value, then a sequence word that waiters sleep on.
        client, sequence = self._client, (self._at + 8) // 4
        client._own_words[self._at // 8] = max(number, self._end_value())
        client._own_halves[sequence] = (client._own_halves[sequence] + 1) & 0xFFFFFFFF
        client._wake(self._at + 8)
        client._ring(ATTEND_SIGNALS)

    def _wait(self, read, number, timeout):
        deadline = time.monotonic() + timeout
        while read() < number:
            self._client._check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"step {number} of lane {self.number} has not begun within {timeout} s")
            time.sleep(0.0002)


class Client:
    """A connection to a daemon."""

    def __init__(self, path, tenant="default", name="python", ring_bytes=1 << 18, timeout=10.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._fds, self._requests, self._buffer = [], 0, b""
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise DaemonLost(f"no daemon answers on {path}: {error}") from error
        welcome = self._ask({"type": "hello", "version": VERSION, "tenant": tenant, "name": name, "ringBytes": ring_bytes})
        self.daemon, self._ring_bytes = welcome["daemon"], welcome["ringBytes"]
        size = RING + self._ring_bytes + welcome["maxLanes"] * TIMELINE_BYTES
        size = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        own, daemon, entries, self._event = (self._fds.pop(0) for _ in range(4))
        self._own = self._map(own, size, write=True)
        self._daemon = self._map(daemon, size, write=False)
        self._own_words, self._daemon_words = memoryview(self._own).cast("Q"), memoryview(self._daemon).cast("Q")
        self._own_halves, self._daemon_halves = memoryview(self._own).cast("I"), memoryview(self._daemon).cast("I")
        self._entries = memoryview(self._map(entries, welcome["entriesBytes"], write=False)).cast("I")
        extent = self._receive()
        self._pool_map = self._map(self._fds.pop(0), extent["bytes"], write=True)
        self._pool = memoryview(self._pool_map)
        self._slots = list(range(welcome["maxSequences"] - 1, -1, -1))
        self._next_id = (welcome["client"] << 20 & 0xFFFFFFFF) + 1
        self._tail = self._head = self._tickets = 0
        self._lanes, self._transferred = [], {}
        self._ask({"type": "ready"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Says goodbye: nothing of this process touches the pool any more."""
        try:
            self._write({"type": "goodbye"})
        except OSError:
            pass
        self._socket.close()
        os.close(self._event)

    def register_model(self, name, layouts):
        """Registers a model. A sequence of it has a row, and a step an array of views, for each layout."""
        reply = self._ask({"type": "registerModel", "name": name, "layouts": [layout.to_json() for layout in layouts]})
        return Model(reply["model"], layouts, reply["shapes"])

    def open_lane(self, depth=4, max_batch=64, max_layouts=1):
        """Opens a lane."""
        reply = self._ask({"type": "openLane", "depth": depth, "maxBatch": max_batch, "maxLayouts": max_layouts})
        lane = Lane(self, reply["lane"], reply["firstStep"], depth, max_batch, max_layouts, self._map(self._fds.pop(0), reply["viewBytes"], write=False))
        self._lanes.append(lane)
        return lane

    def create_sequence(self, model):
        """Creates an empty sequence."""
        slot, ident = self._slots.pop(), self._next_id
        self._next_id += 1
        self._send(CREATE, struct.pack("<IIII", slot, model.number, ident, 0))
        sequence = Sequence(self, slot, ident)
        sequence.model = model
        return sequence

    def statistics(self):
        """The daemon's counters."""
        return self._ask({"type": "getStatistics"})["statistics"]

    def _transfer(self, kind, lane, sequence, most):
        self._tickets += 1
        self._send(TRANSFER, struct.pack("<IIIiQ", lane.number, sequence.slot, kind, most, self._tickets))
        while self._tickets not in self._transferred:
            self._check()
            self._read_answers()
            time.sleep(0.0005)
        return self._transferred.pop(self._tickets)

    # Rings

    def _send(self, kind, body):
        """Writes a record into the submission ring; waits where it is full."""
        body += bytes(-len(body) % 8)
        size, mask = 8 + len(body), self._ring_bytes - 1
        left = self._ring_bytes - (self._tail & mask)
        padding = left if size > left else 0
        while self._tail + padding + size - self._daemon_words[SUBMISSION_HEAD // 8] > self._ring_bytes:
            self._check()
            os.eventfd_write(self._event, 1)
            time.sleep(0.0005)
        if padding:
            struct.pack_into("<II", self._own, RING + (self._tail & mask), padding, 0)
            self._tail += padding
        at = RING + (self._tail & mask)
        struct.pack_into("<II", self._own, at, size, kind)
        self._own[at + 8:at + size] = body
        self._tail += size
        self._own_words[SUBMISSION_TAIL // 8] = self._tail
        self._ring(ATTEND_SUBMISSIONS)

    def _read_answers(self):
        """Reads what the daemon has told."""
        mask = self._ring_bytes - 1
        while self._daemon_words[COMPLETION_TAIL // 8] != self._head:
            at = RING + (self._head & mask)
            size, kind = struct.unpack_from("<II", self._daemon, at)
            if kind == STEP_ANSWER:
                lane, status, number = struct.unpack_from("<IIQ", self._daemon, at + 8)
                self._lanes[lane]._statuses[number] = STATUSES[status]
                if STATUSES[status] != BUSY:
                    self._lanes[lane]._answered = number
            elif kind == TRANSFER_ANSWER:
                ticket, blocks = struct.unpack_from("<Qi", self._daemon, at + 8)
                self._transferred[ticket] = blocks
            self._head += size
            self._own_words[COMPLETION_HEAD // 8] = self._head

    def _ring(self, bit):
        """Calls the daemon, if it sleeps and wants to be called for this. The futex call before, or the eventfd, is a full fence."""
        self._wake(CLIENT_SLEEPS)
        if self._daemon_halves[ATTENTION // 4] & bit:
            os.eventfd_write(self._event, 1)

    def _wake(self, at):
        word = ctypes.c_uint32.from_buffer(self._own, at)
        _libc.syscall(_FUTEX, ctypes.byref(word), _FUTEX_WAKE, 0x7FFFFFFF, None, None, 0)

    def _check(self):
        """Raises where the daemon has closed the connection or is gone."""
        if self._daemon_halves[DAEMON_STATE // 4] != 0:
            raise DaemonLost(self._reason() or "the daemon has closed the connection")
        self._socket.setblocking(False)
        try:
            if self._socket.recv(1, socket.MSG_PEEK) == b"":
                raise DaemonLost("the daemon is gone")
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(10.0)

    def _reason(self):
        try:
            message = self._receive()
            return message.get("reason")
        except (OSError, DaemonLost):
            return None

    # Control messages

    def _ask(self, request):
        self._requests += 1
        self._write(request | {"id": self._requests})
        while True:
            reply = self._receive()
            if reply["type"] == "error" and reply.get("id", 0) in (0, self._requests):
                raise KvcachedError(reply["error"], reply["message"])
            if reply["type"] == "goodbye":
                raise DaemonLost(reply.get("reason", ""))
            if reply.get("id") == self._requests:
                return reply

    def _write(self, message):
        data = json.dumps(message).encode()
        self._socket.sendall(struct.pack("<I", len(data)) + data)

    def _receive(self):
        (size,) = struct.unpack("<I", self._read(4))
        return json.loads(self._read(size))

    def _read(self, size):
        while len(self._buffer) < size:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 16)
            self._fds += fds
            if not data:
                raise DaemonLost("the daemon is gone")
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _map(self, fd, size, write):
        mapped = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))
        os.close(fd)
        return mapped
