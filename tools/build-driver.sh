#!/usr/bin/env bash
# Builds the stand-in for the CUDA driver of machines without a GPU (Kvcached.Tests/gpu/driver/driver.h says what it does): OUT_FOLDER/libcuda.so.1, with the kernels of this
# repository in it. For tests alone: LD_LIBRARY_PATH=OUT_FOLDER dotnet … makes a program find it. Does nothing where the library is newer than all that it is made of.
set -euo pipefail
[[ $# == 1 && $1 != -* ]] || { echo "usage: tools/build-driver.sh OUT_FOLDER" >&2; exit 2; }
out=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly clang=${CLANG:-clang-19}
readonly driver=Kvcached.Tests/gpu/driver
readonly kernels=(Kvcached.Kernels/gpu/kernels.cl Kvcached.Daemon/gpu/demo.cl Kvcached.Tests/gpu/test.cl Kvcached.Tests/gpu/caches.cl examples/custom-kernel/gpu/key_norms.cl)
readonly flags=(-O2 -g1 -fPIC -fvisibility=hidden -march=native -Wall -Wextra -Werror)

if ! command -v "$clang" >/dev/null; then
    echo "There is no $clang (Debian and Ubuntu: apt-get install clang-19), or name it in CLANG." >&2
    exit 2
fi

library=$out/libcuda.so.1
if [[ -f $library && -z $(find "$driver" Kvcached.Kernels/gpu "${kernels[@]}" tools/build-driver.sh -newer "$library" -print -quit) ]]; then
    exit 0
fi

mkdir -p "$out"
work=$(mktemp -d "$out/building.XXXXXX")
trap 'rm -rf "$work"' EXIT
for source in "${kernels[@]}"; do
    # The demo's matrix products would take all the time with one lane a work-item.
    lanes=1
    if [[ $source == */demo.cl ]]; then lanes=16; fi
    "$clang" -x c++ -std=c++17 "${flags[@]}" -DKV_LANES=$lanes -Wno-ignored-attributes -ffp-contract=off -include "$driver/device_host.h" -IKvcached.Kernels/gpu -c -o "$work/$(basename "$source").o" "$source"
done
for source in "$driver"/*.c; do
    "$clang" -std=c11 "${flags[@]}" -Wno-missing-field-initializers -c -o "$work/$(basename "$source").o" "$source"
done
"$clang" -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs -o "$work/libcuda.so.1" "$work"/*.o -lpthread -ldl -lm
mv "$work/libcuda.so.1" "$library"
