#!/usr/bin/env bash
# Start SCRIPT (of this folder) through srun: srun.sh SCRIPT PARTITION JOB_NAME [arguments of SCRIPT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2s/^# //p' "$0" && echo "It is called by dist_*.sh and slurm_*.sh, which explain themselves."; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
script=$1 partition=$2 job=$3
shift 3
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
[ "$gpus" -lt "$per_node" ] && per_node=$gpus
# shellcheck disable=SC2086  # SRUN_ARGS is meant to split into words
# What all processes would say, one says, where the nodes share this folder.
MIQA_SAID=$(mktemp -d) && export MIQA_SAID
trap 'rm -rf "$MIQA_SAID"' EXIT
srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-8}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$here/$script" "$@" --launcher slurm
