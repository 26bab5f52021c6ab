#!/usr/bin/env python3
"""A PyTorch process attaches to a kvcached daemon on a CUDA device. The pool is a tensor in it; torch streams wait for begin points and signal end points by themselves; one Triton
kernel finds tokens through views and entries (docs/table-abi.md), another takes the usual block_table and sequence lengths (docs/kernel-authors.md) and knows nothing of kvcached.

    kvcached serve --device cuda --pool 64MiB --cold 256MiB --socket /tmp/kvcached.sock &
    python3 examples/torch_attach.py --socket /tmp/kvcached.sock

Exits 0 if every value was right, 1 if one was not or the daemon refused, 2 where PyTorch, Triton or a GPU is missing. No GPU has run it so far.
"""

import argparse
import ctypes
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients" / "python"))
import kvcached  # noqa: E402


def missing(what):
    print(f"not run: {what}", file=sys.stderr)
    raise SystemExit(2)


try:
    import torch
except ImportError as error:
    missing(f"PyTorch is not there ({error}). Install torch for CUDA 12 or later.")
try:
    import triton
    import triton.language as tl
except ImportError as error:
    missing(f"Triton is not there ({error}). Install triton.")
if not torch.cuda.is_available():
    missing("PyTorch finds no GPU. Install the NVIDIA driver; in a container, give it the GPU (--gpus all).")

LAYERS, HEADS, DIM, BLOCK = 2, 2, 64, 16
SEQUENCES, TOKENS, MORE, MAX_PAGES = 4, 100, 20, 32
VIEW_WORDS = 8


class Driver:
    """What of the CUDA driver API PyTorch does not offer. In the primary context of device 0, which is PyTorch's too."""

    PINNED, DEVICE, POSIX_DESCRIPTOR, READ_WRITE = 1, 1, 1, 3
    PORTABLE, DEVICE_MAP, READ_ONLY = 0x1, 0x2, 0x8
    CAN_REGISTER_READ_ONLY = 113

    class Location(ctypes.Structure):
        """CUmemLocation."""

        _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]

    class Properties(ctypes.Structure):
        """CUmemAllocationProp: 32 bytes."""

    class Access(ctypes.Structure):
        """CUmemAccessDesc: 12 bytes."""

    Properties._fields_ = [
        ("type", ctypes.c_int), ("handle_types", ctypes.c_int), ("location", Location), ("win32", ctypes.c_void_p), ("compression", ctypes.c_ubyte),
        ("rdma", ctypes.c_ubyte), ("usage", ctypes.c_ushort), ("reserved", ctypes.c_ubyte * 4),
    ]
    Access._fields_ = [("location", Location), ("flags", ctypes.c_int)]

    def __init__(self):
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._here = self.Location(self.DEVICE, 0)
        torch.zeros(1, device="cuda:0")  # makes the primary context, and makes it this thread's

    def call(self, name, *arguments):
        result = getattr(self._cuda, name)(*arguments)
        if result != 0:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(result, ctypes.byref(text))
            raise RuntimeError(f"{name} failed with {(text.value or b'an unknown error').decode()} ({result})")

    def import_memory(self, fd, size, write):
        """kvcached.Client's device_memory: maps memory of the daemon's GPU, for reading and writing whatever is asked, and returns its address."""
        try:
            handle, address, granularity = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_size_t()
            properties = self.Properties(self.PINNED, self.POSIX_DESCRIPTOR, self._here)
            self.call("cuMemGetAllocationGranularity", ctypes.byref(granularity), ctypes.byref(properties), ctypes.c_int(0))
            whole = ctypes.c_size_t((size + granularity.value - 1) // granularity.value * granularity.value)
            self.call("cuMemImportFromShareableHandle", ctypes.byref(handle), ctypes.c_void_p(fd), ctypes.c_int(self.POSIX_DESCRIPTOR))
            self.call("cuMemAddressReserve", ctypes.byref(address), whole, ctypes.c_size_t(0), ctypes.c_uint64(0), ctypes.c_uint64(0))
            self.call("cuMemMap", address, whole, ctypes.c_size_t(0), handle, ctypes.c_uint64(0))
            access = self.Access(self._here, self.READ_WRITE)
            self.call("cuMemSetAccess", address, whole, ctypes.byref(access), ctypes.c_size_t(1))
            return address.value
        finally:
            os.close(fd)

    def register(self, address, read_only):
        """Makes the page of host memory around an address reachable for the GPU. False where it can do that only with memory that may be written."""
        if read_only:
            can = ctypes.c_int()
            self.call("cuDeviceGetAttribute", ctypes.byref(can), ctypes.c_int(self.CAN_REGISTER_READ_ONLY), ctypes.c_int(0))
            if not can.value:
                return False
        flags = self.PORTABLE | self.DEVICE_MAP | (self.READ_ONLY if read_only else 0)
        self.call("cuMemHostRegister_v2", ctypes.c_void_p(address & ~4095), ctypes.c_size_t(4096), ctypes.c_uint(flags))
        return True

    def unregister(self, address):
        self.call("cuMemHostUnregister", ctypes.c_void_p(address & ~4095))

    def wait_value(self, stream, address, value):
        self.call("cuStreamWaitValue64_v2", ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(address), ctypes.c_uint64(value), ctypes.c_uint(0))

    def write_value(self, stream, address, value):
        self.call("cuStreamWriteValue64_v2", ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(address), ctypes.c_uint64(value), ctypes.c_uint(0))


def tensor(address, elements, dtype):
    """Memory at a device address as a tensor, which does not own it."""
    item = torch.empty((), dtype=dtype).element_size()

    class Memory:
        __cuda_array_interface__ = {"shape": (elements * item,), "typestr": "|u1", "data": (address, False), "version": 3}

    return torch.as_tensor(Memory(), device="cuda:0").view(dtype)


@triton.jit
def write_by_table(pool, views, entries, values, first, batch_stride, layer_offset, plane_offset, head_stride, token_stride, BLOCK_SHIFT: tl.constexpr, DIM: tl.constexpr):
    """Stores values[sequence, token - first, head] where view and entries say. One program for each (sequence, token, head)."""
    sequence, new, head = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    token = first + new
    row = tl.load(views + sequence * 8).to(tl.int64) & 0xFFFFFFFF
    blocks = tl.load(views + sequence * 8 + 1)
    if (token >> BLOCK_SHIFT) < blocks:
        entry = tl.load(entries + row + (token >> BLOCK_SHIFT)).to(tl.int64) & 0xFFFFFFFF
        at = entry * 128 + layer_offset + plane_offset + head * head_stride + (token & ((1 << BLOCK_SHIFT) - 1)) * token_stride
        dim = tl.arange(0, DIM)
        source = values + sequence * batch_stride + (new * tl.num_programs(2) + head) * DIM
        tl.store(pool + at + dim, tl.load(source + dim))


@triton.jit
def read_by_table(pool, views, entries, out, batch_stride, layer_offset, plane_offset, head_stride, token_stride, BLOCK_SHIFT: tl.constexpr, DIM: tl.constexpr):
    """The other way: out[sequence, token, head] from where view and entries say."""
    sequence, token, head = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tl.load(views + sequence * 8).to(tl.int64) & 0xFFFFFFFF
    blocks = tl.load(views + sequence * 8 + 1)
    if (token >> BLOCK_SHIFT) < blocks:
        entry = tl.load(entries + row + (token >> BLOCK_SHIFT)).to(tl.int64) & 0xFFFFFFFF
        at = entry * 128 + layer_offset + plane_offset + head * head_stride + (token & ((1 << BLOCK_SHIFT) - 1)) * token_stride
        dim = tl.arange(0, DIM)
        tl.store(out + sequence * batch_stride + (token * tl.num_programs(2) + head) * DIM + dim, tl.load(pool + at + dim))


@triton.jit
def paged_attention(query, key, value, block_table, lengths, out, scale, table_stride, page_stride, token_stride, head_stride, PAGE: tl.constexpr, DIM: tl.constexpr):
    """Attention of one query for each (sequence, head) over pages, as kernels that know only block tables do it. key and value are [page, token, head, dim] tensors."""
    sequence, head = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths + sequence)
    dim, slot = tl.arange(0, DIM), tl.arange(0, PAGE)
    q = tl.load(query + (sequence * tl.num_programs(1) + head) * DIM + dim).to(tl.float32) * scale
    maximum, total, sums = tl.full([1], -float("inf"), dtype=tl.float32), tl.zeros([1], dtype=tl.float32), tl.zeros([DIM], dtype=tl.float32)
    for page in range(0, tl.cdiv(length, PAGE)):
        number = tl.load(block_table + sequence * table_stride + page).to(tl.int64)
        at = number * page_stride + slot[:, None] * token_stride + head * head_stride + dim[None, :]
        there = page * PAGE + slot < length
        k = tl.load(key + at, mask=there[:, None], other=0.0).to(tl.float32)
        v = tl.load(value + at, mask=there[:, None], other=0.0).to(tl.float32)
        scores = tl.where(there, tl.sum(k * q[None, :], axis=1), -float("inf"))
        largest = tl.maximum(maximum, tl.max(scores, axis=0))
        weights = tl.exp(scores - largest)
        old = tl.exp(maximum - largest)
        total = total * old + tl.sum(weights, axis=0)
        sums = sums * old + tl.sum(weights[:, None] * v, axis=0)
        maximum = largest
    tl.store(out + (sequence * tl.num_programs(1) + head) * DIM + dim, sums / total)


class Attachment:
    """A lane of the daemon whose steps run on a torch stream."""

    def __init__(self, client, driver):
        self.client, self._driver = client, driver
        layout = kvcached.Layout(layers=LAYERS, heads=HEADS, head_dim=DIM, element_type="float16", tokens_per_block=BLOCK, page_table=True)
        self.model = client.register_model("torch", [layout])
        (self.shape,) = self.model.shapes
        self.lane = client.open_lane(depth=4, max_batch=SEQUENCES, max_pages=MAX_PAGES)
        self.stream = torch.cuda.Stream()
        self.pool = tensor(client.pool, client.pool_bytes // 2, torch.float16)
        self._registered = []
        self.waits_by_stream = self._register(self.lane.begin_address, True)
        self._register(self.lane.end_address, False)

    def _register(self, address, read_only):
        done = self._driver.register(address, read_only)
        if done:
            self._registered.append(address)
        return done

    def close(self):
        """Where the stream still waits, what it waits on is left to the process's end."""
        if self.stream.query():
            for address in self._registered:
                self._driver.unregister(address)

    def run(self, sequences, new_tokens, kernels):
        """A step: kernels(views, entries, table) enqueues work on the stream, between the begin point and the end point. Returns once it is done."""
        step = self.lane.begin([(sequence, new_tokens) for sequence in sequences])
        if self.waits_by_stream:
            self._driver.wait_value(self.stream, self.lane.begin_address, step.number)
        else:
            step.wait_begin()
        views = tensor(self.lane.views + step.views_offset(), SEQUENCES * VIEW_WORDS, torch.int32)
        entries = tensor(self.client.entries, 1, torch.int32)
        with torch.cuda.stream(self.stream):
            kernels(views, entries, step.page_table())
        self._driver.write_value(self.stream, self.lane.end_address, step.number)
        step.end_by_stream()

        # A wait of torch's own would hide a daemon that has died; and it is this process that tells the daemon of the end.
        deadline = time.monotonic() + 30
        while not self.stream.query():
            self.client.statistics()
            if time.monotonic() > deadline:
                raise SystemExit(f"step {step.number} has not ended within 30 s")
        self.lane.call()
        if step.status != kvcached.ACCEPTED:
            raise SystemExit(f"step {step.number} is {step.status}")

    def _strides(self, layer, plane):
        return layer * self.shape["layerStride"] // 2, plane * self.shape["planeStride"] // 2, self.shape["headStride"] // 2, self.shape["tokenStride"] // 2

    def write(self, views, entries, first, values):
        """values: [sequence, new token, layer, plane, head, dim]."""
        for layer in range(LAYERS):
            for plane in range(2):
                part = values[:, :, layer, plane].contiguous()
                write_by_table[(SEQUENCES, part.shape[1], HEADS)](
                    self.pool, views, entries, part, first, part.stride(0), *self._strides(layer, plane), BLOCK_SHIFT=self.shape["tokensPerBlockShift"], DIM=DIM)

    def read(self, views, entries, tokens):
        """The same shape, of all tokens."""
        out = torch.zeros((SEQUENCES, tokens, LAYERS, 2, HEADS, DIM), dtype=torch.float16, device="cuda:0")
        for layer in range(LAYERS):
            for plane in range(2):
                part = torch.zeros((SEQUENCES, tokens, HEADS, DIM), dtype=torch.float16, device="cuda:0")
                read_by_table[(SEQUENCES, tokens, HEADS)](
                    self.pool, views, entries, part, part.stride(0), *self._strides(layer, plane), BLOCK_SHIFT=self.shape["tokensPerBlockShift"], DIM=DIM)
                out[:, :, layer, plane] = part
        return out

    def attend(self, table, query, layer):
        """Attention by the page table: the kernel gets tensors and an int32 block table, as from any paged cache."""
        base, page = self.lane.page_tables, self.shape["blockBytes"] // 2
        block_table = tensor(base + table.block_table, self.lane.max_batch * table.max_pages, torch.int32).view(self.lane.max_batch, table.max_pages)
        lengths = tensor(base + table.sequence_lengths, self.lane.max_batch, torch.int32)
        layer_offset, plane_offset, head, token = self._strides(layer, 1)
        size = (self.client.pool_bytes // self.shape["blockBytes"], BLOCK, HEADS, DIM)
        key, value = (torch.as_strided(self.pool, size, (page, token, head, 1), layer_offset + plane * plane_offset) for plane in range(2))
        out = torch.empty_like(query, dtype=torch.float32)
        paged_attention[(SEQUENCES, HEADS)](
            query, key, value, block_table, lengths, out, DIM ** -0.5, block_table.stride(0), key.stride(0), key.stride(1), key.stride(2), PAGE=BLOCK, DIM=DIM)
        return out


def attach(client, driver):
    torch.manual_seed(1)
    whole = TOKENS + MORE
    values = torch.randn((SEQUENCES, whole, LAYERS, 2, HEADS, DIM), device="cuda:0").to(torch.float16)
    query = torch.randn((SEQUENCES, HEADS, DIM), device="cuda:0").to(torch.float16)
    attachment = Attachment(client, driver)
    torch.cuda.synchronize()
    try:
        sequences = [client.create_sequence(attachment.model) for _ in range(SEQUENCES)]
        attachment.run(sequences, TOKENS, lambda views, entries, table: attachment.write(views, entries, 0, values[:, :TOKENS]))
        dropped = sum(sequence.evict(attachment.lane) for sequence in sequences)
        found = {}

        def look(views, entries, table):
            attachment.write(views, entries, TOKENS, values[:, TOKENS:])
            found["values"] = attachment.read(views, entries, whole)
            found["attention"] = [attachment.attend(table, query, layer) for layer in range(LAYERS)]

        attachment.run(sequences, MORE, look)
        for sequence in sequences:
            sequence.free()
    finally:
        attachment.close()
    wrong = int((found["values"] != values).sum())
    if wrong:
        raise SystemExit(f"{wrong} of {values.numel()} values are not what was written")
    worst = max(error(found["attention"][layer], query, values[:, :, layer]) for layer in range(LAYERS))
    if not worst < 2e-3:
        raise SystemExit(f"attention by the block table is off by {worst}")
    if dropped == 0:
        raise SystemExit("no block was evicted")
    how = "by the stream" if attachment.waits_by_stream else "by the host, since this GPU registers no memory that may only be read"
    print(f"{client.device}: {values.numel()} values written, {dropped} blocks evicted and reloaded, all read back through the table and right; attention by block_table "
          f"off by at most {worst:.1e}; begin points waited for {how}")


def error(attention, query, values):
    """Against attention in float32 over the values that were written. values: [sequence, token, plane, head, dim]."""
    key, value = (values[:, :, plane].float().transpose(1, 2) for plane in range(2))
    expected = torch.nn.functional.scaled_dot_product_attention(query.float()[:, :, None], key, value)[:, :, 0]
    return float((attention - expected).abs().max())


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--socket", required=True)
    arguments.add_argument("--patience", type=float, default=30.0, help="how long to wait for the daemon to listen, in seconds (default 30)")
    arguments = arguments.parse_args()
    driver = Driver()
    deadline = time.monotonic() + arguments.patience
    while True:
        try:
            with kvcached.Client(arguments.socket, tenant="torch", name="torch_attach", device_memory=driver.import_memory) as client:
                return attach(client, driver)
        except kvcached.NoDaemon:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    try:
        main()
    except (kvcached.KvcachedError, RuntimeError) as error:
        raise SystemExit(str(error)) from error
