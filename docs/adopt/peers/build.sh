#!/bin/sh
# Builds the peers into a folder (default: build/ beside this file) and prints a line for each: name, specification for `verify`
# (one argument: quote it where it has blanks) and version, separated by tabs.
#
#     docs/adopt/peers/build.sh [FOLDER]
#
# For Debian and what derives from it: packages that are missing are installed with apt-get, which takes root (exit 3 where that cannot be
# done). The Python peers are run by /usr/bin/python3, to which Debian's packages belong, whatever `python3` is.
# Exit 1: a peer did not build; the others are there.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 3
failed=0

packages="gcc g++ libdnnl-dev libopenblas-dev libxnnpack-dev libpthreadpool-dev
    opencl-headers ocl-icd-opencl-dev pocl-opencl-icd python3-numpy python3-opencv python3-torch"
command -v npm > /dev/null || packages="$packages nodejs npm"

version() { dpkg-query -W -f '${Version}' "$1" 2> /dev/null; }
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

# native NAME SOURCE PACKAGE FLAGS...
native() {
    name=$1 source=$here/$2 package=$3
    shift 3
    if [ ! "$out/$name.so" -nt "$source" ] || [ ! "$out/$name.so" -nt "$here/peer.h" ] || [ ! "$out/$name.so" -nt "$here/../conv_subject.h" ]; then
        case $source in *.cpp) compiler="g++ -std=c++17" ;; *) compiler="gcc -std=c11" ;; esac
        if ! $compiler -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden "$source" -o "$out/$name.so" "$@"; then
            echo "build.sh: $name did not build" >&2
            rm -f "$out/$name.so"
            failed=1
            return
        fi
    fi
    printf '%s\t%s\t%s\n' "$name" "native:$out/$name.so" "$package $(version "$package")"
}

# exec_ NAME VERSION COMMAND
exec_() { printf '%s\t%s\t%s\n' "$1" "exec:$3" "$2"; }

native onednn-plain onednn.cpp libdnnl-dev -DLAYOUT=plain -DALGORITHM=direct -ldnnl
native onednn-nhwc onednn.cpp libdnnl-dev -DLAYOUT=nhwc -DALGORITHM=direct -ldnnl
native onednn-any onednn.cpp libdnnl-dev -DLAYOUT=any -DALGORITHM=direct -ldnnl
native onednn-auto onednn.cpp libdnnl-dev -DLAYOUT=any -DALGORITHM=automatic -ldnnl
native onednn-winograd onednn.cpp libdnnl-dev -DLAYOUT=any -DALGORITHM=winograd -ldnnl
native openblas openblas.c libopenblas-dev -lopenblas
native xnnpack xnnpack.c libxnnpack-dev -lXNNPACK -lm
native xnnpack-same xnnpack.c libxnnpack-dev -DSAME -lXNNPACK -lm
native opencl opencl.c pocl-opencl-icd -lOpenCL

exec_ pytorch "python3-torch $(version python3-torch)" "/usr/bin/python3 $here/pytorch.py"
exec_ pytorch-same "python3-torch $(version python3-torch)" "/usr/bin/python3 $here/pytorch.py same"
exec_ opencv "python3-opencv $(version python3-opencv)" "/usr/bin/python3 $here/opencv_dnn.py"
exec_ opencv-same "python3-opencv $(version python3-opencv)" "/usr/bin/python3 $here/opencv_dnn.py same"

tfjs=4.22.0
present() { grep -q "\"version\": \"$tfjs\"" "$out/node_modules/@tensorflow/$1/package.json" 2> /dev/null; }
if { present tfjs && present tfjs-backend-wasm; } \
    || npm install --prefix "$out" --no-audit --no-fund "@tensorflow/tfjs@$tfjs" "@tensorflow/tfjs-backend-wasm@$tfjs" > "$out/npm.log" 2>&1; then
    for backend in cpu wasm; do
        exec_ tfjs-$backend "@tensorflow/tfjs $tfjs" "env TFJS_MODULES=$out node $here/tfjs.js $backend"
        exec_ tfjs-$backend-same "@tensorflow/tfjs $tfjs" "env TFJS_MODULES=$out node $here/tfjs.js $backend same"
    done
else
    echo "build.sh: npm could not install @tensorflow/tfjs (see $out/npm.log)" >&2
    failed=1
fi
exit $failed
