#!/usr/bin/env bash
# Train under Slurm: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (default 8) processes in all, GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 8); SRUN_ARGS for anything else.
set -euo pipefail
usage() { sed -n '2,3s/^# //p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
exec bash "$(dirname "$0")/srun.sh" train.py "$@"
