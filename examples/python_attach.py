#!/usr/bin/env python3
"""Attaches to a kvcached daemon, writes the keys and values of some sequences, has them evicted and reloaded, reads them back and compares.

    kvcached serve --pool 8MiB --cold 32MiB --socket /tmp/kvcached.sock &
    python3 examples/python_attach.py --socket /tmp/kvcached.sock
"""

import argparse
import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients" / "python"))
import kvcached  # noqa: E402

SEQUENCES, TOKENS, MORE = 4, 100, 20


def pattern(sequence, token, plane, head, size):
    """What a token of a head holds: no two are the same."""
    return struct.pack("<IIHH", sequence.id, token, plane, head) * (size // 12) + bytes(size % 12)


def step(lane, layout, sequence, new_tokens, held):
    """One forward pass of a model that has none: compares the tokens that there are, writes the new ones. Returns how many vectors were right."""
    begun = lane.begin([(sequence, new_tokens)])
    begun.wait_begin()
    (view,) = begun.views()
    if view.refused:
        raise SystemExit(f"step {begun.number} was refused: {begun.status}")
    if (view.sequence_id, view.token_count) != (sequence.id, held + new_tokens):
        raise SystemExit(f"the view says {view}")
    right = 0
    for token in range(view.token_count):
        for plane in range(layout.planes):
            for head in range(layout.heads):
                memory = begun.token(view, token, plane=plane, head=head)
                expected = pattern(sequence, token, plane, head, len(memory))
                if token >= held:
                    memory[:] = expected
                elif memory == expected:
                    right += 1
                else:
                    raise SystemExit(f"token {token} of sequence {sequence.id}, plane {plane}, head {head}: {bytes(memory[:16]).hex()} where {expected[:16].hex()} was written")
    begun.end()
    return right


def connect(path, patience):
    """Attaches to the daemon on path, once it listens."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return kvcached.Client(path, tenant="python", name="python_attach")
        except kvcached.NoDaemon:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--socket", required=True)
    arguments.add_argument("--patience", type=float, default=10.0, help="how long to wait for the daemon to listen, in seconds (default 10)")
    arguments = arguments.parse_args()
    try:
        attach(arguments)
    except kvcached.KvcachedError as error:
        raise SystemExit(str(error)) from error


def attach(arguments):
    layout = kvcached.Layout(layers=1, heads=2, head_dim=64, element_type="float16", tokens_per_block=16)
    with connect(arguments.socket, arguments.patience) as client:
        model = client.register_model("attach", [layout])
        lane = client.open_lane()
        sequences = [client.create_sequence(model) for _ in range(SEQUENCES)]
        for sequence in sequences:
            step(lane, layout, sequence, TOKENS, 0)
        dropped = sum(sequence.evict(lane) for sequence in sequences)
        reloaded = client.statistics()["reloadedBlocks"]
        right = sum(step(lane, layout, sequence, MORE, TOKENS) for sequence in sequences)
        reloaded = client.statistics()["reloadedBlocks"] - reloaded
        for sequence in sequences:
            sequence.free()
    if dropped == 0 or reloaded < dropped:
        raise SystemExit(f"{dropped} blocks were evicted and {reloaded} reloaded")
    print(f"{client.daemon}: {SEQUENCES} sequences of {TOKENS} tokens written, {dropped} blocks evicted, {reloaded} reloaded, {right} vectors read back and right")


if __name__ == "__main__":
    main()
