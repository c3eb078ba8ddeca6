#!/usr/bin/env bash
# Test under Slurm: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
# GPUS (default 8) processes in all, GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 8); SRUN_ARGS for anything else.
set -euo pipefail
usage() { sed -n '2,3s/^# //p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 4 ] || { usage >&2 && exit 2; }
exec bash "$(dirname "$0")/srun.sh" test.py "$@"
