#!/usr/bin/env bash
# Fetches ONNX Runtime's native library into a folder (artifacts/onnxruntime, where `verify onnxruntime` looks) and prints its path.
# It comes from the npm package onnxruntime-node; nothing of that package is run.
#
#     docs/adopt/get-onnxruntime.sh [FOLDER [VERSION]]
set -euo pipefail
folder=${1:-artifacts/onnxruntime}
version=${2:-1.30.0}

case "$(uname -s) $(uname -m)" in
  'Linux x86_64') part=linux/x64 library=libonnxruntime.so.1 ;;
  'Linux aarch64') part=linux/arm64 library=libonnxruntime.so.1 ;;
  'Darwin arm64') part=darwin/arm64 library=libonnxruntime.1.dylib ;;
  *) echo "get-onnxruntime: there is no build for $(uname -s) $(uname -m); pass onnxruntime:PATH" >&2; exit 3 ;;
esac

if [ "$(cat "$folder/version" 2>/dev/null)" != "$version" ]; then
  command -v npm >/dev/null || { echo 'get-onnxruntime: npm is missing; install Node.js, or pass onnxruntime:PATH' >&2; exit 3; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" "onnxruntime-node@$version" >&2
  mkdir -p "$folder"
  cp "$work"/node_modules/onnxruntime-node/bin/napi-v*/"$part"/"$library" "$folder/"
  echo "$version" >"$folder/version"
fi

echo "$folder/$library"
