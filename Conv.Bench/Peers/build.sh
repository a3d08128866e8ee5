#!/bin/sh
# Gets what `race` races against, beside ONNX Runtime, which is restored with the project, into a folder (default: artifacts/race): the shim
# of oneDNN.
# Run it from the root of the repository.
#
#     Conv.Bench/Peers/build.sh [FOLDER]
#
# For Debian and what derives from it: packages that are missing are installed with apt-get, which takes root (exit 3 where that cannot be
# done). Exit 1: a peer is not there; the others are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-artifacts/race}
mkdir -p "$out" || exit 3

packages="g++ libdnnl-dev python3-torch"
missing=
for p in $packages; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null) in installed) ;; *) missing="$missing $p" ;; esac
done
if [ -n "$missing" ]; then
    cannot="build.sh: cannot install:$missing"
    command -v apt-get > /dev/null || { echo "$cannot (there is no apt-get)" >&2; exit 3; }
    [ "$(id -u)" = 0 ] || { echo "$cannot (apt-get takes root)" >&2; exit 3; }
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } > "$out/apt.log" 2>&1 \
        || { echo "$cannot (see $out/apt.log)" >&2; exit 3; }
fi

if g++ -std=c++17 -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -fopenmp "$here/onednn_shim.cpp" -o "$out/libonednn_shim.so" -ldnnl; then
    echo "$out/libonednn_shim.so"
else
    echo "build.sh: the shim of oneDNN did not build" >&2
    exit 1
fi
