#!/usr/bin/env bash
# Install what the tests need into a virtual environment (MIQA_VENV, default .venv) and run them all.
#
#   bash tools/run_tests.sh                     everything, on all cores
#   bash tools/run_tests.sh --quick             the quick ones, before each commit: at most two minutes
#   bash tools/run_tests.sh -k dataset          any options of pytest
#   bash tools/run_tests.sh --fuzz 10           ten times as many made-up inputs in the fuzz tests
#   MIQA_WITH_MACHINES=1 bash tools/run_tests.sh    also MMDetection's models (compiles MMCV's operators once, 15 min)
#
# Tests that need something that is not there are skipped, and the last lines say why.
set -euo pipefail
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
fi
here=$(cd "$(dirname "$0")/.." && pwd)
export MIQA_VENV=${MIQA_VENV:-$here/.venv}
bash "$here/tools/install.sh" dev
if [ "${MIQA_WITH_MACHINES:-0}" = 1 ]; then
    bash "$here/tools/install_machines.sh" "$MIQA_VENV/bin/python"
fi
cd "$here"
if [ "${1:-}" = --quick ]; then
    shift
    set -- -m quick "$@"
    types=0
fi
python=$MIQA_VENV/bin/python
"$python" -m ruff check .
"$python" -m ruff format --check .
if [ "${types:-1}" = 1 ]; then "$python" -m mypy; fi
# Files are begun in the order of collection: tests/conftest.py has the longest first.
# Each worker uses one thread (tests/conftest.py), so as many workers as cores.
# A worker that dies ends the run with the name of its test: by files, pytest-xdist may wait for its successor for ever.
exec "$python" -m pytest -n "${MIQA_TEST_WORKERS:-auto}" --dist loadfile --no-loadscope-reorder --max-worker-restart 0 "$@"
