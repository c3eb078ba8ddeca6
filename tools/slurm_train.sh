#!/usr/bin/env bash
# Train under Slurm: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS (default 8) processes in all, GPUS_PER_NODE (default 8), CPUS_PER_TASK (default 8); SRUN_ARGS for anything else.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
exec bash "$(dirname "$0")/srun.sh" train.py "$@"
