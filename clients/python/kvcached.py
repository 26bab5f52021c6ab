"""A client of the kvcached daemon in Python 3, with the standard library alone: this file and kvcached_control.py. It speaks the protocol of docs/protocol.md.

    with Client("/run/user/1000/kvcached.sock", tenant="a") as client:
        model = client.register_model("tiny", [Layout(layers=2, heads=2, head_dim=64, element_type="float16")])
        lane = client.open_lane()
        sequence = client.create_sequence(model)
        step = lane.begin([(sequence, 16)])
        step.wait_begin()
        for view in step.views():
            memory = step.token(view, 0)          # a writable memoryview of one token's bytes of layer 0, plane 0, head 0
        step.end()

It offers steps, page tables, transfers and counters. It does not offer clean, restore order and contiguous windows: docs/protocol.md says what to send for them.

Where the daemon serves a GPU, pool, entries, views and page tables are memory of that GPU, which Python cannot map: give Client a device_memory of your own, which imports
what a descriptor stands for and returns whatever your kernels take (examples/torch_attach.py). Step.views and Step.token are for memory that the host reaches; for kernels
there are offsets (Step.views_offset, Step.page_table) and, for streams that wait and signal by themselves, addresses (Lane.begin_address, Lane.end_address).

Every call may raise DaemonLost: the daemon is gone, has been stopped, or has disconnected this client, with the reason that it gave. A wait tells within a second; only of
a daemon that is stopped where its process cannot be seen (in another namespace of processes) after 20 s. What a call cannot do with what it was given is a ValueError,
and what the daemon refuses a KvcachedError; either way nothing has changed. A wait that outlasts its limit while the daemon lives is a TimeoutError; what was waited for
may still come.

Not thread-safe. A word that the other side looks at meanwhile (heads, tails, timelines) is read and written as an item of a memoryview of native words, which CPython
does by one load or store. struct.pack_into does not: it fills the target with zeros first, and the daemon would see a tail or a timeline go back. What lies before
a word is stored before it, and what is behind a word is loaded after it, because x86-64 keeps loads in order and stores in order. Python has no fence to say so to
another machine: on arm64 the daemon could see a tail before the record, and this client a begin point before the views, so it is not for arm64. Other
interpreters than CPython have not been tried.
"""

import ctypes
import mmap
import operator
import os
import struct
import time
from dataclasses import dataclass

from kvcached_control import VERSION, Control, DaemonLost, KvcachedError, NoDaemon  # noqa: F401, the errors are this module's too

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
ELEMENT_BYTES = {"byte": 1, "float16": 2, "bfloat16": 2, "float32": 4}

MOST = 0x7FFFFFFF
MOST_NEW_TOKENS = MOST // 4  # of a step; a sequence holds at most twice as many

_libc = ctypes.CDLL(None, use_errno=True)
_FUTEX, _FUTEX_WAKE = 202, 1  # of x86-64


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
    page_table: bool = False

    def to_json(self):
        return {
            "layers": self.layers, "heads": self.heads, "headDim": self.head_dim, "planes": self.planes, "elementType": self.element_type,
            "tokensPerBlock": self.tokens_per_block, "axisOrder": self.axis_order, "windowTokens": self.window_tokens,
            "pageTable": self.page_table,
        }


@dataclass
class PageTable:
    """Where the arrays of a step's page table lie in the memory of the lane's page tables, in bytes (docs/kernel-authors.md, "Page tables"): int32 each."""

    block_table: int
    indices: int
    sequence_lengths: int
    last_page_lengths: int
    indptr: int
    max_pages: int


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


class _Buffer(ctypes.Structure):
    """Py_buffer of CPython."""

    _fields_ = [
        ("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    ]


def address_of(memory):
    """The address of a mapping's first byte, also of one that may only be read. It stays good for as long as the mapping."""
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(memory), ctypes.byref(buffer), 0)
    try:
        return buffer.buf
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


def _count(what, value, most=MOST):
    """A count that a record may carry."""
    if not 0 <= operator.index(value) <= most:
        raise ValueError(f"{what} is {value}; it must be 0 to {most}")
    return value


class Sequence:
    """A growing run of tokens. After free, every call is a ValueError."""

    def __init__(self, client, slot, ident, model):
        self._client, self.slot, self.id, self.model, self._freed = client, slot, ident, model, False

    def truncate(self, tokens):
        """Keeps the first tokens, for steps begun later."""
        self._send(TRUNCATE, _count("tokens", tokens))

    def commit(self, count):
        """Tells that the ids of so many more tokens are known."""
        self._send(COMMIT, _count("count", count))

    def free(self):
        """Frees the sequence. Steps in flight that read it are not disturbed."""
        self._send(FREE, 0)
        self._freed = True
        self._client._slots.append(self.slot)

    def evict(self, lane, timeout=30.0):
        """Gives up the device copies. Returns the blocks dropped."""
        return self._client._transfer(EVICT, lane, self, 0, timeout)

    def prefetch(self, lane, timeout=30.0):
        """Reloads what is not on the device. Returns the copies enqueued."""
        return self._client._transfer(PREFETCH, lane, self, 0, timeout)

    def move(self, lane, most, timeout=30.0):
        """Moves up to so many blocks to other places of the pool. Returns the moves enqueued."""
        return self._client._transfer(MOVE, lane, self, _count("most", most), timeout)

    def _send(self, kind, value):
        self._must_be_of(self._client)
        self._client._send(kind, struct.pack("<Ii", self.slot, value))

    def _must_be_of(self, client):
        if self._client is not client:
            raise ValueError(f"sequence {self.id} is of another client")
        if self._freed:
            raise ValueError(f"sequence {self.id} has been freed")


class Model:
    """A registered model."""

    def __init__(self, client, number, layouts, shapes):
        self._client, self.number, self.layouts, self.shapes = client, number, layouts, shapes


class Step:
    """A step that has been begun: its views are there once its begin point has been reached."""

    def __init__(self, lane, number, model, count):
        self.lane, self.number, self.model, self.count, self._ended = lane, number, model, count, False

    def wait_begin(self, timeout=30.0):
        """Waits for the begin point."""
        self.lane._client._wait(lambda: self.lane._begin_value() >= self.number, timeout, f"step {self.number} of lane {self.lane.number} has not begun")

    @property
    def status(self):
        """What has become of the step, as far as the daemon has told."""
        self.lane._client._read_answers()
        return self.lane._statuses.get(self.number, UNKNOWN)

    def views(self, layout=0):
        """The views of the step's sequences, in the order of the batch. Only between begin and end."""
        self._must_be_under_way()
        at = self.views_offset(layout)
        return [View(*struct.unpack_from("<7I", self.lane.views, at + 32 * i)) for i in range(self.count)]

    def views_offset(self, layout=0):
        """Where the step's views lie in lane.views, 32 bytes each. Known at once; they are there from begin to end."""
        return self._slot(layout) * self.lane.max_batch * 32

    def page_table(self, layout=0):
        """Where the step's page table lies in lane.page_tables. Known at once; it is there from begin to end."""
        lane = self.lane
        if lane.max_pages == 0 or not self.model.layouts[self._layout(layout)].page_table:
            raise ValueError(f"layout {layout} has page tables where Layout.page_table asks for them and open_lane has max_pages")
        pages, lengths = _granules(4 * lane.max_batch * lane.max_pages), _granules(4 * (lane.max_batch + 1))
        at = self._slot(layout) * (2 * pages + 3 * lengths)
        lengths_at = at + 2 * pages
        return PageTable(at, at + pages, lengths_at, lengths_at + lengths, lengths_at + 2 * lengths, lane.max_pages)

    def token(self, view, token, layer=0, plane=0, head=0, layout=0):
        """The bytes of one token of one head: writable memory of the pool. Only between begin and end."""
        self._must_be_under_way()
        shape, kind = self.model.shapes[self._layout(layout)], self.model.layouts[layout]
        if view.refused:
            raise ValueError(f"step {self.number} was refused for sequence {view.sequence_id}: it has no tokens here")
        _count("token", token, view.token_count - 1)
        _count("layer", layer, kind.layers - 1)
        _count("plane", plane, kind.planes - 1)
        _count("head", head, kind.heads - 1)
        block = token >> shape["tokensPerBlockShift"]
        if block < view.first_visible_block:
            raise ValueError(f"token {token} lies before the window: the first block that may be read is {view.first_visible_block}")
        entry = self.lane._client._entries[view.row_start + block]
        at = entry * GRANULE + layer * shape["layerStride"] + plane * shape["planeStride"] + head * shape["headStride"]
        at += (token & ((1 << shape["tokensPerBlockShift"]) - 1)) * shape["tokenStride"]
        size = kind.head_dim * ELEMENT_BYTES[kind.element_type.lower()]
        return self.lane._client._pool[at:at + size]

    def end(self):
        """Signals the end point: nothing of the step touches the pool any more. Once, and in the order of the lane's steps."""
        self._must_be_under_way()
        self.lane._client._check()
        if self.lane._end_value() != self.number - 1:
            raise ValueError(f"step {self.lane._end_value() + 1} of lane {self.lane.number} ends before step {self.number}")
        self._ended = True
        self.lane._signal_end(self.number)

    def end_by_stream(self):
        """Says that a stream signals the end point in place of end: it writes the step's number, 64 bits, to lane.end_address, behind all that touches the pool and in
        the order of the lane's steps. Call lane.call once it has."""
        self.lane._client._check()
        self._ended = True

    def _must_be_under_way(self):
        self.lane._client._control.raise_if_over()
        if self._ended:
            raise ValueError(f"step {self.number} of lane {self.lane.number} has ended")
        if self.lane._begin_value() < self.number:
            raise ValueError(f"step {self.number} of lane {self.lane.number} has not begun: wait_begin first")

    def _slot(self, layout):
        return self.number % self.lane.depth * self.lane.max_layouts + self._layout(layout)

    def _layout(self, layout):
        return _count("layout", layout, len(self.model.layouts) - 1)


class Lane:
    """An ordered flow of steps."""

    def __init__(self, client, number, first_step, depth, max_batch, max_layouts, max_pages, views, page_tables):
        self._client, self.number, self.depth, self.max_batch, self.max_layouts, self.max_pages = client, number, depth, max_batch, max_layouts, max_pages
        self.views, self.page_tables = views, page_tables
        self._at = RING + client._ring_bytes + number * TIMELINE_BYTES
        self._begun = self._answered = first_step - 1
        self._statuses = {}

    def begin(self, batch):
        """Begins a step over [(sequence, new tokens)] and returns at once; None where as many steps are under way as the lane is deep."""
        client = self._client
        model = self._check_batch(batch)
        client._check()
        client._read_answers()
        number = self._begun + 1
        if number > min(self._begin_value(), self._end_value(), self._answered) + self.depth:
            return None
        body = struct.pack("<IIQ", self.number, len(batch), number) + b"".join(struct.pack("<Ii", sequence.slot, tokens) for sequence, tokens in batch)
        client._send(BEGIN, body)
        self._begun = number
        self._statuses[number] = PENDING
        self._statuses.pop(number - 2 * self.depth, None)
        return Step(self, number, model, len(batch))

    @property
    def begin_address(self):
        """Address in this process of the lane's begin timeline: a 64-bit word that is at least a step's number once it has begun. It lies in memory that may only be read."""
        return address_of(self._client._daemon) + self._at

    @property
    def end_address(self):
        """Address in this process of the lane's end timeline: a 64-bit word, which whoever ends a step raises to its number."""
        return address_of(self._client._own) + self._at

    def call(self):
        """Tells the daemon that a stream has signalled an end point."""
        self._client._check()
        self._call()

    def _check_batch(self, batch):
        if not 1 <= len(batch) <= self.max_batch:
            raise ValueError(f"a batch of {len(batch)} sequences; it must have 1 to {self.max_batch}")
        model, seen = batch[0][0].model, set()
        for sequence, tokens in batch:
            sequence._must_be_of(self._client)
            _count("new tokens", tokens, MOST_NEW_TOKENS)
            if sequence in seen:
                raise ValueError(f"sequence {sequence.id} stands twice in the batch")
            if sequence.model is not model:
                raise ValueError(f"sequence {sequence.id} is of another model than the batch's first")
            seen.add(sequence)
        if len(model.layouts) > self.max_layouts:
            raise ValueError(f"the model has {len(model.layouts)} layouts; the lane has views for {self.max_layouts}")
        return model

    def _begin_value(self):
        return self._client._daemon_words[self._at // 8]

    def _end_value(self):
        return self._client._own_words[self._at // 8]

    def _signal_end(self, number):
        self._client._own_words[self._at // 8] = number
        self._call()

    def _call(self):
        # A timeline: value, then a sequence word that waiters sleep on.
        client, sequence = self._client, (self._at + 8) // 4
        client._own_halves[sequence] = (client._own_halves[sequence] + 1) & 0xFFFFFFFF
        client._wake(self._at + 8)
        client._ring(ATTEND_SIGNALS)


class Client:
    """A connection to a daemon."""

    def __init__(self, path, tenant="default", name="python", ring_bytes=1 << 18, timeout=10.0, device_memory=None):
        """Attaches. device_memory(fd, size, write) makes something of memory of the daemon's device: pool, entries, views, page tables. It owns fd from then on, also
        where it raises. Where it is left out they are mapped, which is right for daemons whose device is a CPU."""
        if os.uname().machine != "x86_64":
            raise NotImplementedError("this client relies on the order of loads and stores of x86-64")
        self._control, self._lanes, self._transferred = Control(path, timeout), {}, {}
        self._device_memory = device_memory or _map
        try:
            self._attach(tenant, name, ring_bytes)
        except BaseException:
            self.close()
            raise

    def _attach(self, tenant, name, ring_bytes):
        welcome = self._control.ask({"type": "hello", "version": VERSION, "tenant": tenant, "name": name, "ringBytes": ring_bytes})
        if welcome.get("memory", "Host") != "Host" and self._device_memory is _map:
            raise KvcachedError("InvalidArgument", f"the daemon's device is {welcome['device']}, whose memory cannot be mapped: give device_memory, as examples/torch_attach.py does")
        self.daemon, self._ring_bytes, self._max_sequences = welcome["daemon"], welcome["ringBytes"], welcome["maxSequences"]
        size = RING + self._ring_bytes + welcome["maxLanes"] * TIMELINE_BYTES
        size = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._own = _map(self._control.fds.pop(0), size, True)
        self._daemon = _map(self._control.fds.pop(0), size, False)
        self._own_words, self._daemon_words = memoryview(self._own).cast("Q"), memoryview(self._daemon).cast("Q")
        self._own_halves, self._daemon_halves = memoryview(self._own).cast("I"), memoryview(self._daemon).cast("I")
        self.device, self.entries = welcome["device"], self._take(welcome["entriesBytes"], write=False)
        self._entries = None if self._device_memory is not _map else memoryview(self.entries).cast("I")
        self._event = self._control.fds.pop(0)
        self._control.watch(lambda: self._daemon_words[HEARTBEAT // 8], lambda: self._daemon_halves[DAEMON_STATE // 4] != 0, self._event)
        extent = self._control.receive()
        self.pool_bytes, self.pool = extent["bytes"], self._take(extent["bytes"], write=True)
        self._pool = None if self._device_memory is not _map else memoryview(self.pool)
        self._slots = list(range(self._max_sequences - 1, -1, -1))
        self._next_id = (welcome["client"] << 20 & 0xFFFFFFFF) + 1
        self._tail = self._head = self._tickets = 0
        self._control.ask({"type": "ready"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Says goodbye, and unmaps the daemon's memory: nothing of this process touches the pool any more. Any other call after it is a ValueError."""
        self._control.close()
        # What step.token has given, and somebody still has, keeps the pool mapped.
        self._own = self._own_words = self._own_halves = self._daemon = self._daemon_words = self._daemon_halves = self._entries = self._pool = None
        self.entries = self.pool = None
        for lane in self._lanes.values():
            lane.views = lane.page_tables = None

    def register_model(self, name, layouts):
        """Registers a model. A sequence of it has a row, and a step an array of views, for each layout."""
        layouts = list(layouts)
        reply = self._control.ask({"type": "registerModel", "name": name, "layouts": [layout.to_json() for layout in layouts]})
        return Model(self, reply["model"], layouts, reply["shapes"])

    def open_lane(self, depth=4, max_batch=64, max_layouts=1, max_pages=0):
        """Opens a lane. With max_pages its steps have page tables, of up to so many pages a sequence, for layouts that ask for them."""
        reply = self._control.ask({"type": "openLane", "depth": depth, "maxBatch": max_batch, "maxLayouts": max_layouts, "maxPages": max_pages})
        views = self._take(reply["viewBytes"], write=False)
        tables = self._take(reply["pageTableBytes"], write=False) if reply["pageTableBytes"] else None
        lane = Lane(self, reply["lane"], reply["firstStep"], depth, max_batch, max_layouts, max_pages, views, tables)
        self._lanes[lane.number] = lane
        return lane

    def create_sequence(self, model):
        """Creates an empty sequence."""
        if model._client is not self:
            raise ValueError("the model is of another client")
        if not self._slots:
            raise KvcachedError("CapacityExceeded", f"the client holds {self._max_sequences} sequences, which is its limit")
        slot, ident = self._slots[-1], self._next_id
        self._send(CREATE, struct.pack("<IIII", slot, model.number, ident, 0))
        self._slots.pop()
        self._next_id = (ident + 1) & 0xFFFFFFFF
        return Sequence(self, slot, ident, model)

    def statistics(self):
        """The daemon's counters."""
        return self._control.ask({"type": "getStatistics"})["statistics"]

    def _transfer(self, kind, lane, sequence, most, timeout):
        sequence._must_be_of(self)
        if lane._client is not self:
            raise ValueError(f"lane {lane.number} is of another client")
        ticket = self._tickets + 1
        self._send(TRANSFER, struct.pack("<IIIiQ", lane.number, sequence.slot, kind, most, ticket))
        self._tickets, self._transferred[ticket] = ticket, None
        try:
            self._wait(lambda: self._transferred[ticket] is not None, timeout, f"the transfer of sequence {sequence.id} has not been answered")
            return self._transferred[ticket]
        finally:
            del self._transferred[ticket]

    def _wait(self, done, timeout, what):
        """Every wait but those for the socket: it has a limit, reads what the daemon tells meanwhile, and looks whether the daemon lives."""
        self._control.raise_if_over()
        deadline = time.monotonic() + timeout
        while not done():
            self._check()
            self._read_answers()
            if time.monotonic() > deadline and not done():
                raise TimeoutError(f"{what} within {timeout} s")
            time.sleep(0.0002)

    def _check(self):
        self._control.check()

    # Rings

    def _send(self, kind, body):
        """Writes a record into the submission ring; waits where it is full."""
        self._check()
        body += bytes(-len(body) % 8)
        size, mask = 8 + len(body), self._ring_bytes - 1
        if size > self._ring_bytes // 2:
            raise ValueError(f"a record of {size} bytes; a ring of {self._ring_bytes} takes {self._ring_bytes // 2}")
        left = self._ring_bytes - (self._tail & mask)
        padding = left if size > left else 0
        tail = self._tail + padding
        self._wait(lambda: tail + size - self._daemon_words[SUBMISSION_HEAD // 8] <= self._ring_bytes, 30.0, "the daemon has not made room in the submission ring")
        if padding:
            struct.pack_into("<II", self._own, RING + (self._tail & mask), padding, 0)
        at = RING + (tail & mask)
        struct.pack_into("<II", self._own, at, size, kind)
        self._own[at + 8:at + size] = body
        self._tail = tail + size
        self._own_words[SUBMISSION_TAIL // 8] = self._tail
        self._ring(ATTEND_SUBMISSIONS)

    def _read_answers(self):
        """Reads what the daemon has told."""
        self._control.raise_if_over()
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
                ticket, blocks = struct.unpack_from("<Qq", self._daemon, at + 8)
                if ticket in self._transferred:
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

    def _take(self, size, write):
        return self._device_memory(self._control.fds.pop(0), size, write)


def _map(fd, size, write):
    try:
        return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))
    finally:
        os.close(fd)


def _granules(size):
    return (size + GRANULE - 1) // GRANULE * GRANULE
