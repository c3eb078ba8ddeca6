#!/usr/bin/env bash
# Train on several processes: bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# NCCL on GPUs, gloo on a machine without them (GPUS is then the number of processes).
# Several nodes: run it on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
usage() { sed -n '2,4s/^# //p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 2 ] || { usage >&2 && exit 2; }
exec bash "$(dirname "$0")/torchrun.sh" train.py "$@"
