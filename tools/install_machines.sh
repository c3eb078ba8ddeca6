#!/usr/bin/env bash
# Install MMDetection with MMCV's compiled operators into a Python environment that has this package.
#
#   bash tools/install_machines.sh              # into the environment of `python`
#   bash tools/install_machines.sh PYTHON       # into the environment of that interpreter
#
# The operators are compiled once (5 to 20 minutes) and the wheel is kept in $MIQA_WHEELS (default ~/.cache/miqa/wheels),
# by the versions of Python, PyTorch and MMCV; later installations take seconds. On a machine with a CUDA toolkit
# and a GPU, MMCV compiles the CUDA operators too. MAX_JOBS limits the compilers that run at once (default: all cores).
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 0
fi
PYTHON=${1:-python}
MMCV=2.3.6
MMDET=3.5.1
fail() { echo "Error: $*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null || fail "there is no Python interpreter '$PYTHON'. Activate an environment or name one."
"$PYTHON" -c 'import torch' 2>/dev/null || fail "$PYTHON has no PyTorch. Install this package first: pip install -e ."
check() { "$PYTHON" -c 'import mmcv._ext, mmdet.models; print("MMDetection", mmdet.__version__, "with compiled operators")'; }
if check 2>/dev/null; then
    exit 0
fi
# MMCV's operators are C++17; PyTorch from 2.13 on wants C++20.
"$PYTHON" - <<'CHECK' || fail "MMCV $MMCV compiles with PyTorch 2.4 to 2.12. Install one of these, for example torch==2.9.1."
import sys, torch
version = tuple(int(part) for part in torch.__version__.split('+')[0].split('.')[:2])
sys.exit(not (2, 4) <= version < (2, 13))
CHECK

KEY=$("$PYTHON" -c "
import platform, sys, torch
device = 'cuda' + torch.version.cuda if torch.cuda.is_available() else 'cpu'
version = torch.__version__.split('+')[0]
print(f'py{sys.version_info[0]}{sys.version_info[1]}-torch{version}-{device}-mmcv$MMCV-{platform.machine()}')")
WHEELS=${MIQA_WHEELS:-$HOME/.cache/miqa/wheels}/$KEY
if ! compgen -G "$WHEELS/onedl_mmcv-$MMCV-*.whl" >/dev/null; then
    command -v "${CXX:-g++}" >/dev/null || fail "there is no C++ compiler. Install one, for example: apt-get install g++"
    echo "Compiling MMCV's operators (5 to 20 minutes, once) into $WHEELS"
    mkdir -p "$WHEELS"
    BUILD=$(mktemp -d "$WHEELS/.build.XXXXXX")
    trap 'rm -rf "$BUILD"' EXIT
    "$PYTHON" -m pip install --quiet 'setuptools>=80,<82' wheel packaging ninja psutil
    # --no-cache-dir: pip would otherwise take a wheel without operators that it has built before.
    # ninja is found beside the interpreter, also where the environment is not activated.
    PATH="$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))'):$PATH" \
        MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
        "$PYTHON" -m pip wheel --no-cache-dir --no-deps --no-build-isolation -w "$BUILD" "onedl-mmcv==$MMCV"
    "$PYTHON" -c "
import sys, zipfile
sys.exit(not any('mmcv/_ext' in name for name in zipfile.ZipFile(sys.argv[1]).namelist()))" "$BUILD"/*.whl ||
        fail "the wheel was built without operators. The compiler's messages are above."
    mv "$BUILD"/*.whl "$WHEELS/"
fi
"$PYTHON" -m pip install --force-reinstall --no-deps "$WHEELS"/onedl_mmcv-$MMCV-*.whl
"$PYTHON" -m pip install "onedl-mmdetection==$MMDET" 'pycocotools>=2.0.7' 'faster-coco-eval>=1.6'
check || fail "the operators were installed but cannot be imported; the reason is above."
