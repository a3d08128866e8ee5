#!/usr/bin/env bash
# Holds the peers to the laws, one after the other, and writes a report for each: docs/reports/NAME/conformance.md and conformance.json, and
# docs/reports/versions.tsv. The peers are built or fetched first (docs/adopt/peers/build.sh); ONNX
# Runtime is restored with the project.
#
#     docs/reports/make.sh [NAME…]
#
# CASES (default 100) for each law and tier, SEED (default 1).
set -euo pipefail
cd "$(dirname "$0")/../.."
cases=${CASES:-100} seed=${SEED:-1}
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# Names relative to the repository, so that a report says the same wherever it was made.
docs/adopt/peers/build.sh | sed "s|$PWD/||g" >"$list" || echo 'make.sh: not every peer could be built' >&2
onnxruntime=$(sed -n 's/.*Include="\(Microsoft.ML.OnnxRuntime\)" Version="\(.*\)".*/\1 \2/p' Directory.Packages.props)
for variant in '' -constant -same; do printf 'onnxruntime%s\tonnxruntime%s\t%s\n' "$variant" "$variant" "$onnxruntime" >>"$list"; done

[ -n "${NO_BUILD:-}" ] || dotnet build -c Release Conv.Properties >&2
[ $# -gt 0 ] || cut -f 1,3 "$list" | sort >docs/reports/versions.tsv

while IFS=$'\t' read -r name spec version; do
  if [ $# -gt 0 ]; then case " $* " in *" $name "*) ;; *) continue ;; esac; fi
  mkdir -p "docs/reports/$name"
  echo "== $name ($version)" >&2
  # 1, a law is broken, and 4, something is undecided, are results.
  dotnet "${CONV:-Conv.Properties/bin/Release/net10.0/Conv.Properties.dll}" verify "$spec" --cases "$cases" --seed "$seed" \
    --report "docs/reports/$name" --quiet </dev/null >"docs/reports/$name/log" 2>&1 && code=0 || code=$?
  case $code in 0 | 1 | 4) ;; *) cat "docs/reports/$name/log" >&2 ;; esac
  rm -f "docs/reports/$name/log"
  grep -m 1 '^\*\*' "docs/reports/$name/conformance.md" >&2 || true
done <"$list"
