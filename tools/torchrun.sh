#!/usr/bin/env bash
# Start SCRIPT (of this folder) with CONFIG and more arguments on GPUS processes: torchrun.sh SCRIPT CONFIG GPUS [...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2s/^# //p' "$0" && echo "It is called by dist_*.sh and slurm_*.sh, which explain themselves."; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
script=$1 config=$2 gpus=$3
shift 3
if [[ ! $gpus =~ ^[1-9][0-9]*$ ]]; then
    echo "GPUS is '$gpus'; give the number of GPUs (processes) of this machine, such as 2." >&2 && exit 2
fi
nodes=${NNODES:-1}
if [ "$nodes" -gt 1 ]; then
    meeting=(--nnodes="$nodes" --node_rank="${NODE_RANK:?set NODE_RANK to the number of this node, from 0}"
        --master_addr="${MASTER_ADDR:?set MASTER_ADDR to the address of node 0}" --master_port="${MASTER_PORT:-29500}")
else
    meeting=(--standalone)
fi
# Without GPUS processes and several threads each, CPU cores would be oversubscribed.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "${PYTHON:-python}" -m miqa.running.torchrun "${meeting[@]}" --nproc_per_node="$gpus" \
    "$here/$script" "$config" "$@" --launcher pytorch
