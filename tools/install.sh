#!/usr/bin/env bash
# Make or reuse a virtual environment and install this package into it, with the tested versions.
#
#   bash tools/install.sh core         # what scoring with the model in the box and with ONNX files needs: 300 MB
#   bash tools/install.sh              # ... and what training and labelling need (the set train)
#   bash tools/install.sh demo         # ... and what tools/quickstart.sh needs
#   bash tools/install.sh dev          # ... and what the tests and the linter need (contains demo)
#
# MIQA_VENV     the environment (default: .venv in the repository). Several clones may share one.
# MIQA_PYTHON   the interpreter that makes it (default: the first of python3.11, 3.12, 3.10 and python3 that fits).
# MIQA_TORCH_INDEX   where PyTorch comes from (default: PyPI, whose builds bring CUDA). For a machine without a GPU:
#               MIQA_TORCH_INDEX=https://download.pytorch.org/whl/cpu, a tenth of the size.
#
# Needs Linux, Python 3.10 to 3.12 and, the first time, internet: about 3 GB of downloads, 7 GB on disk, no compiler.
# Nothing is done where the same versions are installed already; an installation that was interrupted is repeated.
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
fi
here=$(cd "$(dirname "$0")/.." && pwd)
extra=${1:-train}
venv=${MIQA_VENV:-$here/.venv}
fail() { echo "Error: $*" >&2; exit 1; }
say() { echo "[install] $*"; }
case $extra in core | train | demo | dev) ;; *) fail "unknown set '$extra'. Choose one of: core, train, demo, dev (see --help)." ;; esac
[[ $venv == /* ]] || venv=$PWD/$venv
python=$venv/bin/python

fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [[ -n ${MIQA_PYTHON:-} ]]; then
        fits "$MIQA_PYTHON" || fail "MIQA_PYTHON=$MIQA_PYTHON is not a working Python 3.10, 3.11 or 3.12."
        echo "$MIQA_PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.10 python3 python; do
        # A name that exists may still not work, such as a version manager's stand-in.
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.10, 3.11 or 3.12 is needed and none was found on the PATH (python3 is: $(python3 --version 2>&1 ||
        echo missing)). Install one, for example: sudo apt-get install python3.11 python3.11-venv; or name one: MIQA_PYTHON=/path/to/python"
}

make_environment() {
    local base version
    base=$(find_python)
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "making the environment $venv with $base (Python $version)"
    # Debian and Ubuntu split venv's ensurepip off into a package of its own.
    if ! "$base" -c 'import venv, ensurepip' 2>/dev/null; then
        if "$base" -c 'import virtualenv' 2>/dev/null; then
            "$base" -m virtualenv --quiet "$venv"
        else
            fail "$base cannot make virtual environments (its module venv or ensurepip is missing). Install it: sudo apt-get install python$version-venv"
        fi
    else
        "$base" -m venv "$venv"
    fi
    touch "$venv/.made-by-miqa"
}

mkdir -p "$(dirname "$venv")"
# Two installations into one environment wait for each other.
if command -v flock >/dev/null; then
    exec 9>"${TMPDIR:-/tmp}/miqa-install-$(id -u)-$(echo "$venv" | sha256sum | cut -c1-16).lock"
    flock -n 9 || { say "waiting for another installation into $venv"; flock 9; }
fi

if [[ -e $venv/.installing ]]; then
    if [[ -e $venv/.made-by-miqa ]]; then
        say "the last installation into $venv was interrupted; making the environment again"
        rm -rf "$venv"
    else
        fail "an installation into $venv was interrupted, so packages in it may be incomplete. Make that environment again, or choose another: MIQA_VENV=..."
    fi
fi
if [[ ! -x $python ]]; then
    [[ ! -e $venv || -e $venv/pyvenv.cfg || -z $(ls -A "$venv") ]] ||
        fail "$venv exists and is not a virtual environment. Choose another folder: MIQA_VENV=..."
    # Killed while the environment was being made: pyvenv.cfg, but no marker of ours and no interpreter.
    make_environment
fi
fits "$python" || fail "$venv does not hold a working Python 3.10, 3.11 or 3.12. Delete that folder, or choose another: MIQA_VENV=..."
"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip --upgrade >/dev/null ||
    fail "the environment $venv has no pip. Delete that folder and run this again."

# A stamp says that a set was installed from exactly these files; each of core, train, demo and dev contains the one before.
key=$(cat "$here/requirements.txt" "$here/setup.py" "$here/tools/install.sh" | sha256sum | cut -c1-16)
installed=
for set in dev demo train core; do
    if [[ -e $venv/.installed-$set-$key ]]; then installed=$set; fi
    if [[ $set == "$extra" ]]; then break; fi
done

pip() { "$python" -m pip --disable-pip-version-check "$@"; }
pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" "$here/requirements.txt" | head -n 1; }
version_of() { "$python" -c "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))" "$1" 2>/dev/null || true; }

# OpenCV's full package needs libGL, which servers lack; both packages write the same files, so one of them it is.
settle_opencv() {
    local full headless
    full=$(version_of opencv-python)
    headless=$(version_of opencv-python-headless)
    if [[ -n $full && -n $headless ]]; then
        # Whichever was written last won, file by file: begin again with the full one.
        pip uninstall --quiet --yes opencv-python opencv-python-headless
        pip install --quiet --no-deps "opencv-python==$full"
    fi
    if ! "$python" -c 'import cv2' 2>/dev/null; then
        full=$(version_of opencv-python)
        say "cv2 cannot be imported: $("$python" -c 'import cv2' 2>&1 | tail -n 1)"
        say "replacing opencv-python by opencv-python-headless $full, which needs no libGL"
        pip uninstall --quiet --yes opencv-python
        pip install --quiet --no-deps "opencv-python-headless==$full"
        "$python" -c 'import cv2' || fail "cv2 still cannot be imported; the reason is above."
    fi
}

cpu_builds=https://download.pytorch.org/whl/cpu
has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# A build for CPUs is called 2.9.1+cpu, which fits the pin 2.9.1; what PyTorch itself needs comes with the rest.
install_torch() {
    local torch vision
    torch=torch==$(pinned torch) vision=torchvision==$(pinned torchvision)
    if [[ -n ${MIQA_TORCH_INDEX:-} ]]; then
        say "taking $torch and $vision from $MIQA_TORCH_INDEX"
        pip install --quiet --no-deps --index-url "$MIQA_TORCH_INDEX" "$torch" "$vision" ||
            fail "MIQA_TORCH_INDEX=$MIQA_TORCH_INDEX does not give $torch and $vision; the reason is above. Builds for CPUs are at $cpu_builds; without the variable they come from PyPI."
    elif ! has_gpu; then
        say "no NVIDIA GPU was found: PyTorch will run on the CPU. Its builds for CPUs alone are a tenth of the size:"
        say "  MIQA_TORCH_INDEX=$cpu_builds bash tools/install.sh $extra"
    fi
}

if [[ -z $installed ]]; then
    what=$here
    [[ $extra == core ]] || what="$here[$extra]"
    say "installing $what into $venv (3 to 10 minutes the first time)"
    touch "$venv/.installing"
    # An older pip can build an editable package in a way that leaves no trace of where it points.
    "$python" -c 'import sys, pip; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (23, 2))' ||
        pip install --quiet --upgrade 'pip>=23.2'
    # The range that MMCV's operators build with; kept here so that re-pointing the package needs no network.
    pip install --quiet 'setuptools>=80,<82' wheel
    mmcv=$(pinned onedl-mmcv)
    if [[ $extra != core && $(version_of onedl-mmcv) != "$mmcv" ]]; then
        # pip's cache may hold a wheel with operators that were compiled for another PyTorch, under the same name.
        MMCV_WITH_OPS=0 pip install --quiet --no-cache-dir --no-deps "onedl-mmcv==$mmcv"
    fi
    [[ $extra == core || -n $(version_of torch) ]] || install_torch
    # A plain entry on the path: the default, an import hook, loses against a clone called miqa in the current folder.
    pip install --config-settings editable_mode=compat --constraint "$here/requirements.txt" --editable "$what"
    if [[ $extra == core ]]; then
        needed='numpy, PIL, onnx, onnxruntime, jinja2'
    else
        needed='torch, torchvision, timm, cv2, mmengine, mmcv.transforms, mmseg.registry, pandas, piq'
        settle_opencv
    fi
    "$python" -c "import $needed" ||
        fail "something was installed that cannot be imported; the reason is above. Please report it."
    rm -f "$venv"/.installed-*
    for set in core train demo dev; do
        touch "$venv/.installed-$set-$key"
        if [[ $set == "$extra" ]]; then break; fi
    done
    rm -f "$venv/.installing"
fi

# An environment that several clones share points to the one that was installed last.
points_to=$(cd / && "$python" -c 'import importlib.util as u; print(u.find_spec("miqa").origin)' 2>/dev/null || true)
if [[ $points_to != "$here/miqa/__init__.py" ]]; then
    say "pointing the environment $venv to $here (it was: ${points_to:-nowhere})"
    pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable "$here"
fi
torch=$(version_of torch)
say "ready: $("$python" --version), ${torch:+PyTorch $torch, }in $venv"
