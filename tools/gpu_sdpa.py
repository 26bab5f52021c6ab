#!/usr/bin/env python3
"""Decode attention over scattered blocks, by kvcached's kernel, over PyTorch's scaled_dot_product_attention on contiguous keys and values of the same shape, in turn on one GPU:
a JSON line for each number of query heads a KV head. The command line that is given runs kvcached's side, `gpu-decode --serve` of Kvcached.Bench. Exits 2 where PyTorch or a
GPU is missing, 1 where a ratio fails.

    python3 tools/gpu_sdpa.py dotnet Kvcached.Bench.dll
"""

import json
import statistics
import subprocess
import sys

try:
    import torch
except ImportError as error:
    print(f"not run: PyTorch is not there ({error})", file=sys.stderr)
    raise SystemExit(2)
if not torch.cuda.is_available():
    print("not run: PyTorch finds no GPU", file=sys.stderr)
    raise SystemExit(2)

BATCH, CONTEXT, HEADS, DIM, GOAL, ROUNDS = 16, 8192, 8, 128, 1.10, 21


def sdpa(query, key, value, start, end):
    """Microseconds of one call, by the GPU's clock."""
    start.record()
    torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1000


def measure(command, group):
    shape = (BATCH, HEADS, CONTEXT, DIM)
    # In memory as tokens come, [sequence, token, head, dim], and as SDPA likes it best, [sequence, head, token, dim]: the quicker one counts.
    sides = [torch.randn(shape, dtype=torch.float16, device="cuda"), torch.randn((BATCH, CONTEXT, HEADS, DIM), dtype=torch.float16, device="cuda").transpose(1, 2)]
    query = torch.randn((BATCH, HEADS * group, 1, DIM), dtype=torch.float16, device="cuda")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    arguments = [*command, "gpu-decode", "--serve", "--group", str(group), "--context", str(CONTEXT), "--batch", str(BATCH)]
    own, theirs = [], [[] for _ in sides]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        if not peer.stdout.readline():
            raise SystemExit(peer.wait() or 1)
        for _ in range(3):
            for side in sides:
                sdpa(query, side, side, start, end)
        for _ in range(ROUNDS):
            peer.stdin.write("\n")
            peer.stdin.flush()
            own.append(float(peer.stdout.readline()))
            for times, side in zip(theirs, sides):
                times.append(sdpa(query, side, side, start, end))
        peer.stdin.close()
    best = min(theirs, key=statistics.median)
    value = statistics.median(a / b for a, b in zip(own, best))
    return {
        "name": f"decode_over_sdpa_group_{group}", "verdict": "holds" if value <= GOAL else "fails", "value": round(value, 4), "unit": "ratio", "goal": GOAL, "direction": "<=",
        "a": statistics.median(own), "b": statistics.median(best), "runs": ROUNDS, "torch": torch.__version__,
    }


def main():
    results = [measure(sys.argv[1:], group) for group in (4, 8)]
    for result in results:
        print(json.dumps(result), flush=True)
    return 1 if any(result["verdict"] == "fails" for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
