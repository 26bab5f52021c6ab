#!/usr/bin/env bash
# What can only be checked on an NVIDIA GPU. In the repository it makes a bundle with all that it takes, the .NET runtime included; in the unpacked bundle it runs the checks, on a
# machine with an NVIDIA driver of CUDA 12.0 or later and no .NET, in less than 8 minutes, and writes report.json and report.md. A part that fails, or takes too long, does not keep
# the others from running. PyTorch with Triton and ncu are used where they are there.
#
#   tools/gpu-check.sh --bundle OUT.tar.xz      in the repository; needs the SDK
#   ./gpu-check.sh [--out FOLDER] [--only PART,PART…]      in the bundle; exit 0 if all holds, 1 if something does not, 2 where there is no GPU
#   ./gpu-check.sh --list                       in the bundle: the parts
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '/^#   /s/^# *//p' "${BASH_SOURCE[0]}"
    exit "$1"
}

wrong() {
    echo "gpu-check.sh: $1" >&2
    usage 2 >&2
}

# The tests' program has the daemon's and the benchmarks' beside it. They start one another by `dotnet exec`, so the bundle carries the runtime as the SDK has it.
make_bundle() {
    local out folder dotnet version assembly framework
    out=$(realpath -m "$1")
    folder=$(mktemp -d)
    trap "rm -rf '$folder'" EXIT
    local bundle=$folder/kvcached-gpu-check
    set -e
    cd "$here/.."
    dotnet publish Kvcached.Tests -c Release -v q -nologo -o "$bundle/app"
    for assembly in Kvcached.Daemon Kvcached.Bench Kvcached.Tests; do
        [[ -f $bundle/app/$assembly.dll && -f $bundle/app/$assembly.runtimeconfig.json ]] || { echo "The published tests have no $assembly." >&2; exit 1; }
    done
    # Of packages: other systems' libraries, and compilers that only micro benchmarks use.
    rm -rf "$bundle"/app/runtimes/{win,osx}* "$bundle"/app/{x86,arm64,CodeCoverage,macos,alpine,cs,de,es,fr,it,ja,ko,pl,pt-BR,ru,tr,zh-Hans,zh-Hant}
    dotnet=$(dirname "$(readlink -f "$(command -v dotnet)")")
    version=$(dotnet --list-runtimes | sed -n 's/^Microsoft\.NETCore\.App \([0-9.]*\) .*/\1/p' | sort -V | tail -1)
    mkdir -p "$bundle/runtime/host/fxr"
    cp "$dotnet/dotnet" "$bundle/runtime/"
    for framework in Microsoft.NETCore.App Microsoft.AspNetCore.App; do
        mkdir -p "$bundle/runtime/shared/$framework"
        cp -r "$dotnet/shared/$framework/$version" "$bundle/runtime/shared/$framework/"
    done
    cp -r "$dotnet/host/fxr/$version" "$bundle/runtime/host/fxr/"
    cp -r clients examples LICENSE "$bundle/"
    find "$bundle" -name __pycache__ -prune -exec rm -rf {} +
    mkdir "$bundle/tools"
    cp tools/gpu_sdpa.py "$bundle/tools/"
    cp tools/gpu-check.sh "$bundle/"
    git describe --always --dirty >"$bundle/commit"
    # What an interrupted run leaves must not pass for a bundle.
    echo "packing; xz takes a minute or two" >&2
    XZ_OPT=${XZ_OPT:--T0 -3} tar -C "$folder" -cJf "$out.partial" kvcached-gpu-check
    mv "$out.partial" "$out"
    echo "$out: $(du -h "$out" | cut -f1), of commit $(cat "$bundle/commit")"
}

bundle= list=0 only= out=$PWD/gpu-report
while (($# > 0)); do
    case $1 in
        --bundle) [[ $# -ge 2 ]] || wrong "--bundle wants a file: --bundle OUT.tar.xz"; bundle=$2; shift 2 ;;
        --out) [[ $# -ge 2 ]] || wrong "--out wants a folder"; out=$2; shift 2 ;;
        --only) [[ $# -ge 2 ]] || wrong "--only wants names; --list has them"; only=$2; shift 2 ;;
        --list) list=1; shift ;;
        -h | --help) usage 0 ;;
        *) wrong "there is no $1" ;;
    esac
done

if [[ -n $bundle ]]; then
    make_bundle "$bundle"
    exit
fi

if [[ ! -d $here/app || ! -x $here/runtime/dotnet ]]; then
    echo "This is no bundle: make one with tools/gpu-check.sh --bundle OUT.tar.xz, and unpack it where the GPU is." >&2
    exit 2
fi

export DOTNET_ROOT=$here/runtime PATH=$here/runtime:$PATH DOTNET_EnableDiagnostics=0
work=$(mktemp -d)
# The driver keeps what it compiles from PTX: each part is a process of its own, and compiles nothing twice.
export CUDA_CACHE_PATH=$work/compiled CUDA_CACHE_MAXSIZE=1073741824
finish() {
    [[ ! -d $work/mps ]] || stop_mps
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

kvcached() { dotnet exec "$here/app/Kvcached.Daemon.dll" "$@"; }
bench() { dotnet exec "$here/app/Kvcached.Bench.dll" "$@"; }
suites() { dotnet exec "$here/app/Kvcached.Tests.dll" suites "$@"; }
check() { bench gpu-check --only "$1"; }
sdpa() { python3 "$here/tools/gpu_sdpa.py" dotnet exec "$here/app/Kvcached.Bench.dll"; }

start_mps() {
    command -v nvidia-cuda-mps-control >/dev/null || { echo "There is no nvidia-cuda-mps-control." >&2; return 2; }
    export CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/mps
    mkdir -p "$work/mps"
    nvidia-cuda-mps-control -d || { unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY; return 2; }
}

stop_mps() {
    echo quit | CUDA_MPS_PIPE_DIRECTORY=$work/mps timeout 10 nvidia-cuda-mps-control >/dev/null 2>&1
    rm -rf "$work/mps"
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
}

blocked_wait_mps() {
    local status
    start_mps || return 2
    check blocked_wait | sed 's/"name":"blocked_wait"/"name":"blocked_wait_mps"/'
    status=${PIPESTATUS[0]}
    stop_mps
    return "$status"
}

torch_attach() {
    local socket=$work/kvcached.sock daemon status
    python3 -c 'import torch, triton' 2>"$work/torch" || { tail -1 "$work/torch" >&2; return 2; }
    dotnet exec "$here/app/Kvcached.Daemon.dll" serve --device cuda --pool 64MiB --cold 256MiB --socket "$socket" >"$work/serve" 2>&1 &
    daemon=$!
    python3 "$here/examples/torch_attach.py" --socket "$socket"
    status=$?
    kill "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    ((status == 0)) || tail -5 "$work/serve" >&2
    return "$status"
}

# Sectors for each request of loads from global memory: of decode as a whole, and of the kernel that reads nothing but views and the table.
sectors() {
    local kernel arguments metric=l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio value
    command -v ncu >/dev/null || { echo "There is no ncu." >&2; return 2; }
    for kernel in kv_decode_paged kv_page_tables; do
        arguments=(--batch 16 --context 8192)
        [[ $kernel == kv_decode_paged ]] || arguments+=(--pages)
        value=$(ncu --metrics "$metric" --csv --kernel-name "regex:^$kernel" --launch-count 1 dotnet exec "$here/app/Kvcached.Bench.dll" gpu-decode "${arguments[@]}" 2>"$work/ncu" |
            sed -n "s/.*\"$metric\",\"[^\"]*\",\"\([0-9.,]*\)\".*/\1/p" | tr -d ,)
        [[ -n $value ]] || { tail -3 "$work/ncu" >&2; return 1; }
        echo "{\"name\":\"sectors_per_request_$kernel\",\"verdict\":\"reported\",\"says\":\"$value sectors for each request of loads from global memory; 4 is coalesced for 32 entries\",\"sectors\":$value}"
    done
}

# name, limit in seconds, what it does, command. In the order in which they run.
parts=(
    "devices|20|what there is|kvcached devices --json"
    "words_on_memfd|25||check words_on_memfd"
    "words_on_read_only_memfd|25||check words_on_read_only_memfd"
    "words_on_vmm|25||check words_on_vmm"
    "blocked_wait|40||check blocked_wait"
    "blocked_wait_mps|50|blocked_wait, with MPS|blocked_wait_mps"
    "killed_peer|30||check killed_peer"
    "vmm_page_cost|20||check vmm_page_cost"
    "small_copies|40||check small_copies"
    "graph_replay|30||check graph_replay"
    "conformance|60|the suites of devices, sharing and whole caches on the cuda device|suites CudaDeviceConformance CudaSharing CudaContent CudaWindowConformance"
    "accuracy|60|the kernels' suites on the GPU|suites CudaAttention CudaKv CudaMove CudaPage CudaStamp CudaGolden CudaTable CudaWindowKernels"
    "demo|60|the demo on the cuda device|kvcached demo --device cuda --json"
    "demo_processes|60|the demo of two processes and a daemon|kvcached demo --device cuda --processes 2 --json"
    "client_kill|60|clients and a daemon killed at any instant|bench kill --device cuda --clients 8 --daemons 1 --json"
    "torch_attach|60|the PyTorch example|torch_attach"
    "decode_table_ordered|40||check decode_table_ordered"
    "decode_table_scattered|40||check decode_table_scattered"
    "sdpa|40|decode over PyTorch's SDPA|sdpa"
    "decode_bandwidth|30||check decode_bandwidth"
    "evict_reload_bandwidth|30||check evict_reload_bandwidth"
    "decode_beside_transfers|30||check decode_beside_transfers"
    "remap_table_vs_vmm|30||check remap_table_vs_vmm"
    "sectors|40|table reads, by the profiler|sectors"
    "blocks_of_all_layers|30||check blocks_of_all_layers"
)
readonly total=460

if ((list)); then
    for part in "${parts[@]}"; do
        IFS='|' read -r name limit _ command <<<"$part"
        printf '%-26s %3s s  %s\n' "$name" "$limit" "$command"
    done
    exit 0
fi

# What there is to run on is always looked for first.
if [[ -n $only ]]; then
    chosen=("${parts[0]}")
    IFS=, read -ra names <<<"$only"
    for name in "${names[@]}"; do
        found=
        for part in "${parts[@]}"; do
            [[ $part != "$name|"* ]] || found=$part
        done
        [[ -n $found ]] || { echo "There is no part $name; --list names them." >&2; exit 2; }
        [[ $name == devices ]] || chosen+=("$found")
    done
    parts=("${chosen[@]}")
fi

# run LIMIT COMMAND…: a function, in a process group of its own, ended with all that it started once its time is over.
run() {
    local limit=$1 child watch status
    shift
    set -m
    ("$@") &
    child=$!
    set +m
    (sleep "$limit" && kill -TERM -- -"$child" && sleep 3 && kill -KILL -- -"$child") 2>/dev/null &
    watch=$!
    wait "$child"
    status=$?
    # Ended by a signal: by the watch.
    if ((status == 143 || status == 137)); then status=124; fi
    kill "$watch" 2>/dev/null
    wait "$watch" 2>/dev/null
    kill -KILL -- -"$child" 2>/dev/null
    return "$status"
}

mkdir -p "$out"
rm -f "$out"/*.out "$out"/*.err "$out"/parts.tsv
started=$SECONDS
for part in "${parts[@]}"; do
    IFS='|' read -r name limit _ command <<<"$part"
    left=$((total - SECONDS + started))
    begun=$SECONDS
    if ((left < 5)); then
        status=125
        : >"$out/$name.out"
        echo "no time was left" >"$out/$name.err"
    else
        # shellcheck disable=SC2086
        run $((limit < left ? limit : left)) $command >"$out/$name.out" 2>"$out/$name.err"
        status=$?
    fi
    printf '%s\t%s\t%s\t%s\n' "$name" "$status" $((SECONDS - begun)) "$command" >>"$out/parts.tsv"
    printf '%-26s %s, %s s\n' "$name" "$status" $((SECONDS - begun))
    if [[ $name == devices ]] && ! grep -Eq '"name": ?"cuda:[0-9]+"[^}]*"unusable": ?null' "$out/devices.out"; then
        echo "There is no GPU that can be used:" >&2
        grep -Eo '"name": ?"cuda[^}]*' "$out/devices.out" >&2 || cat "$out/devices.err" >&2
        exit 2
    fi
done

driver=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)
bench gpu-report "$out" --commit "$(cat "$here/commit")" --driver "${driver:-unknown}" --command "$(basename "$0")"
status=$?
echo "The reports: $out/report.md, $out/report.json"
exit $((status == 0 ? 0 : 1))
