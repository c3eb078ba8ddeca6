#!/usr/bin/env bash
# From a fresh clone to a trained and tested quality model, on real photographs, with one command.
#
#   bash tools/quickstart.sh
#
# Needs Linux, Python 3.10 to 3.12 and, the first time, internet: about 3 GB of downloads, 8 GB on disk. After the
# downloads it takes up to 10 minutes on two cores; no GPU is needed. In six steps it
#   1. makes a virtual environment and installs this package into it (tools/install.sh),
#   2. builds a small MIQA database: 123 photographs that Python packages ship, distorted by miqa.distortions and
#      labelled by three ImageNet classifiers (EfficientNet-Lite0, 1 and 2), in MIQD-2.5M's own format,
#   3. trains a CNN baseline,    4. trains a small RA-MIQA,    5. tests both on held-out photographs,
#   6. compares them with PSNR, SSIM and a classifier's own confidence: a table, scatter plots, a filter curve.
# Run it again after an interruption and it goes on; what is done is kept.
#
# MIQA_VENV   the virtual environment (default: .venv)
# MIQA_DATA   the database            (default: data/demo)
# MIQA_WORK   the results             (default: work_dirs/quickstart)
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
fi
[[ $# -eq 0 ]] || { echo "Error: unknown option $1. See: bash tools/quickstart.sh --help" >&2; exit 2; }
absolute() { [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"; }
here=$(cd "$(dirname "$0")/.." && pwd)
venv=$(absolute "${MIQA_VENV:-$here/.venv}")
data=$(absolute "${MIQA_DATA:-$here/data/demo}")
work=$(absolute "${MIQA_WORK:-$here/work_dirs/quickstart}")
export MIQA_VENV=$venv
python=$venv/bin/python
cd "$here"

start=$SECONDS
title() { printf '\n=== %s  [%d:%02d] ===\n' "$1" $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)); }
stopped() {
    echo "The quickstart stopped in step '$step'; the reason is above. Run it again and it goes on from there." >&2
}
trap stopped ERR
trap 'echo; echo "Interrupted in step '"'"'$step'"'"'. Run the same command again and it goes on from there." >&2; exit 130' INT TERM

step='1/6 install'
title "$step"
bash tools/install.sh demo
downloads=$((SECONDS - start))

step='2/6 build the database'
title "$step"
"$python" tools/data/make_demo.py --out "$data"

# A finished training is kept as long as its configs and its database stay what they were.
key=$(cat configs/mini/*.py configs/_base_/*.py configs/_base_/*/*.py "$data"/miqa_cls/labels/manifest.json \
    "$data"/splits/*.csv | sha256sum | cut -c1-16)

# The log files in the work dirs hold everything; the screen is spared the dumps of environment, config and hooks.
brief() {
    awk '/^[0-9][0-9]\/[0-9][0-9] / { show = !/INFO - *$|INFO - Config:|Hooks will be executed/ } NR == 1 && !/INFO/ { show = 1 }
        show { print; fflush() }'
}

train() { # name, config
    local folder=$work/$1
    if [[ -e $folder/finished-$key ]]; then
        echo "Trained before: $folder/best.pth"
        return
    fi
    if [[ -d $folder && ! -e $folder/begun-$key ]]; then
        local number=1
        while [[ -e $folder-before-$number ]]; do number=$((number + 1)); done
        echo "The configs or the database have changed; the earlier run is kept as $folder-before-$number"
        mv "$folder" "$folder-before-$number"
    fi
    mkdir -p "$folder"
    touch "$folder/begun-$key"
    "$python" tools/train.py "$2" --data-root "$data" --work-dir "$folder" --resume auto | brief
    touch "$folder/finished-$key"
}

check() { # name, config
    local folder=$work/$1
    if [[ -e $folder/tested-$key ]]; then
        echo "Tested before: $folder/test/predictions.csv"
        return
    fi
    "$python" tools/test.py "$2" "$folder/best.pth" --data-root "$data" --out "$folder/test" | brief
    touch "$folder/tested-$key"
}

step='3/6 train a CNN baseline (EfficientNet-Lite0)'
title "$step"
train cnn configs/mini/cnn_cls.py

step='4/6 train a small RA-MIQA'
title "$step"
train ra_miqa configs/mini/ra_miqa_cls.py

step='5/6 test both on held-out photographs'
title "$step"
check cnn configs/mini/cnn_cls.py
check ra_miqa configs/mini/ra_miqa_cls.py

step='6/6 compare'
title "$step"
"$python" tools/analysis/compare.py "$data" --task cls --label composite --out "$work/comparison" --methods \
    "RA-MIQA (small)=$work/ra_miqa/test/predictions.csv" "CNN (EfficientNet-Lite0)=$work/cnn/test/predictions.csv" \
    PSNR SSIM max_probability:tf_efficientnet_lite0

# The better of the two is the model 'demo' of the examples in README.md.
"$python" -m miqa.apis.cli models --register-demo "$work/cnn/best.pth"

seconds=$((SECONDS - start))
cat <<END

=== done in $((seconds / 60)) min $((seconds % 60)) s, of which installing took $((downloads / 60)) min $((downloads % 60)) s ===
database      $data  (where the photographs come from: origins.json)
checkpoints   $work/cnn/best.pth
              $work/ra_miqa/best.pth
table         $work/comparison/comparison.csv
plots         $work/comparison/filter_curve.png, scatter_*.png

How to read the table: best.pth is the better of two or three epochs on the same held-out photographs that the table
is about, as in the paper's recipe, which flatters the two trained models a little. The CNN starts from one of
the three classifiers that made the labels; the second table leaves that classifier out of the labels.

Next:
  source "$venv/bin/activate"
  miqa image PHOTO.jpg --model demo
  python tools/test.py configs/mini/ra_miqa_cls.py "$work/ra_miqa/best.pth" --data-root "$data"
  python tools/train.py configs/mini/cnn_cls.py --data-root "$data" --label accuracy --epochs 5
  README.md, "Train on MIQD-2.5M": the same two commands with configs/ra_miqa_cls.py and the whole database
END
