#!/usr/bin/env bash
# Test on several processes: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# NCCL on GPUs, gloo on a machine without them (GPUS is then the number of processes).
# Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
usage() { sed -n '2,4s/^# //p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
config=$1 checkpoint=$2 gpus=$3
shift 3
exec bash "$(dirname "$0")/torchrun.sh" test.py "$config" "$gpus" "$checkpoint" "$@"
