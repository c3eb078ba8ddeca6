#!/usr/bin/env bash
# Start SCRIPT (of this folder) through srun: srun.sh SCRIPT PARTITION JOB_NAME [arguments of SCRIPT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
script=$1 partition=$2 job=$3
shift 3
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
[ "$gpus" -lt "$per_node" ] && per_node=$gpus
# shellcheck disable=SC2086  # SRUN_ARGS is meant to split into words
exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-8}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$here/$script" "$@" --launcher slurm
