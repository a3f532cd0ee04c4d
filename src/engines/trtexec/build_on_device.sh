#!/usr/bin/env bash
# Written by `socc build --backend trtexec`: builds TensorRT engines with the TensorRT of this machine.
#
#   build_on_device.sh BUNDLE [ENGINES [STAGE...]]
#
# BUNDLE is the folder with the graphs, ENGINES the folder for the plans (default: the folder of this script). Stages
# that are named are built, or all. The environment variable TRTEXEC names the tool where it is not found.
set -euo pipefail

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 2
}

if [ $# -lt 1 ]; then
  fail "usage: build_on_device.sh BUNDLE [ENGINES [STAGE...]]"
fi
bundle=$1
engines=${2:-$(cd "$(dirname "$0")" && pwd)}
shift $(($# < 2 ? $# : 2))
wanted=" $* "

trtexec=${TRTEXEC:-$(command -v trtexec || true)}
# Where JetPack and NVIDIA's packages put it.
if [ -z "$trtexec" ] && [ -x /usr/src/tensorrt/bin/trtexec ]; then
  trtexec=/usr/src/tensorrt/bin/trtexec
fi
[ -n "$trtexec" ] || fail "trtexec is not on PATH; install TensorRT, or point TRTEXEC at it"

# Its banner ends in a number: v100300 is 10.3.0, v8502 is 8.5.2.
banner=$("$trtexec" --help 2>&1 | grep -o 'TensorRT v[0-9][0-9]*' | head -n 1 || true)
number=${banner##*v}
[ -n "$number" ] || fail "$trtexec does not tell its version"
if [ "$number" -ge 100000 ]; then
  major=$((number / 10000)) minor=$((number / 100 % 100))
else
  major=$((number / 1000)) minor=$((number / 100 % 10))
fi
patch=$((number % 100))

# The graphs say every tensor's type. TensorRT 10 has to be told so; 11 knows nothing else; 8 and 9 would choose types.
typed=()
if [ "$major" -lt 10 ]; then
  fail "TensorRT $major.$minor.$patch chooses precisions by itself, and these graphs need TensorRT 10 or later"
elif [ "$major" -eq 10 ]; then
  typed=(--stronglyTyped)
fi

printf 'TensorRT %s.%s.%s, %s\n' "$major" "$minor" "$patch" "$trtexec"
mkdir -p "$engines"

# build STAGE MODEL FLAG...
build() {
  local stage=$1 model=$2
  shift 2
  case "$wanted" in
    "  " | *" $stage "*) ;;
    *) return 0 ;;
  esac
  local begun=$SECONDS log="$engines/$stage.log" part="$engines/$stage.plan.part"
  if ! "$trtexec" --onnx="$bundle/$model" --saveEngine="$part" --skipInference \
    --timingCacheFile="$engines/timing.cache" ${typed[@]+"${typed[@]}"} "$@" >"$log" 2>&1; then
    rm -f "$part"
    grep '\[E\]' "$log" | tail -n 3 >&2 || true
    fail "trtexec cannot build stage $stage; its words are in $log"
  fi
  mv "$part" "$engines/$stage.plan"
  printf '%-16s %s s\n' "$stage" $((SECONDS - begun))
}

# The graphs must be those that this script was written for.
(cd "$bundle" && sha256sum --quiet --check -) <<'SUMS' || fail "the graphs in $bundle are not those of this script; copy the bundle again"
@SUMS@
SUMS

@STAGES@
