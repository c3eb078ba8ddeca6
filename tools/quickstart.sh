#!/usr/bin/env bash
# From a fresh clone to a trained and tested quality model, on real photographs, with one command.
#
#   bash tools/quickstart.sh
#
# Needs Linux, Python 3.10 to 3.12 and, the first time, internet: about 3 GB of downloads, 8 GB on disk. After the
# downloads it takes 12 minutes of processor time, 6 on each of two cores; no GPU is needed. In six steps it
#   1. makes a virtual environment and installs this package into it (tools/install.sh),
#   2. builds a small MIQA database: 123 photographs that Python packages ship, distorted by miqa.distortions and
#      labelled by three ImageNet classifiers (EfficientNet-Lite0, 1 and 2), in MIQD-2.5M's own format,
#   3. trains the response-aware model, which reads the response of a frozen EfficientNet-Lite0, and cross-validates it,
#   4. with MIQA_FULL=1 trains a small RA-MIQA, and a smaller response-aware model, demo-fast, on the scores of the first
#      (as long again as all the rest, for two models that are worse),
#   5. tests on held-out photographs,
#   6. compares with PSNR, SSIM and the classifier's own confidence: tables, scatter plots, a filter curve.
# With MIQA_TASK=det or ins it trains a gate for detectors and shows what it is worth. Give it annotated photographs and
# your detector where you have them; the gate is then trained on these:
#   MIQA_TASK=det MIQA_PHOTOS=val2017 MIQA_ANNOTATIONS=instances_val2017.json MIQA_MACHINE=yolox.onnx bash tools/quickstart.sh
# Without them it builds scenes pasted together from cut-out objects, known to the pixel, and runs detectors on them
# (pretrained ones if they can be downloaded, otherwise small ones trained on the spot).
# Run it again after an interruption and it goes on; what is done is kept.
#
# MIQA_TASK   cls, det or ins         (default: cls)
# MIQA_VENV   the virtual environment (default: .venv)
# MIQA_DATA   the database            (default: data/demo)
# MIQA_WORK   the results             (default: work_dirs/quickstart, work_dirs/quickstart_det, ..._ins)
# MIQA_FULL   1: also train and test a small RA-MIQA and demo-fast, for cls (default: 0)
# MIQA_DEMO   further options of tools/data/make_demo.py, such as '--scenes 24' (default: none)
# MIQA_PHOTOS, MIQA_ANNOTATIONS, MIQA_MACHINE   det and ins: a folder of photographs, the annotations of their objects, and
#             the detector, as --annotations and --machine of `miqa gate make` accept them (default: pasted scenes)
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
fi
[[ $# -eq 0 ]] || { echo "Error: unknown option $1. See: bash tools/quickstart.sh --help" >&2; exit 2; }
task=${MIQA_TASK:-cls}
case $task in cls | det | ins) ;; *) echo "Error: MIQA_TASK=$task is unknown. Choose one of: cls, det, ins." >&2; exit 2 ;; esac
own=(${MIQA_PHOTOS:+1} ${MIQA_ANNOTATIONS:+1} ${MIQA_MACHINE:+1})
case $task:${#own[@]} in *:0 | det:3 | ins:3) ;; cls:*)
    echo "Error: MIQA_PHOTOS, MIQA_ANNOTATIONS and MIQA_MACHINE are for MIQA_TASK=det and ins. Unset them, or set MIQA_TASK." >&2
    exit 2
    ;;
*)
    echo "Error: MIQA_PHOTOS, MIQA_ANNOTATIONS and MIQA_MACHINE belong together: set all three, or none." >&2
    exit 2
    ;;
esac
full=${MIQA_FULL:-0}
case $full in 0 | 1) ;; *) echo "Error: MIQA_FULL=$full is unknown. Choose one of: 0, 1." >&2; exit 2 ;; esac
absolute() { [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"; }
here=$(cd "$(dirname "$0")/.." && pwd)
venv=$(absolute "${MIQA_VENV:-$here/.venv}")
data=$(absolute "${MIQA_DATA:-$here/data/demo}")
work=work_dirs/quickstart
[[ $task == cls ]] || work+=_$task
work=$(absolute "${MIQA_WORK:-$here/$work}")
# Before the directory changes. A machine may also be a name.
photos=${MIQA_PHOTOS:+$(absolute "$MIQA_PHOTOS")} annotations=${MIQA_ANNOTATIONS:+$(absolute "$MIQA_ANNOTATIONS")}
detector=${MIQA_MACHINE:-}
[[ ! -e $detector ]] || detector=$(absolute "$detector")
read -ra demo_options <<<"${MIQA_DEMO:-}"
export MIQA_VENV=$venv
python=$venv/bin/python
cd "$here"

start=$SECONDS
title() { printf '\n=== %s  [%d:%02d] ===\n' "$1" $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)); note_time; }
# Processor time says more than the clock where other programs run; `times` prints that of all finished programs.
costs=() noted_step='' noted_cpu=0 noted_wall=$SECONDS
note_time() {
    local file cpu
    file=$(mktemp)
    times >"$file"
    cpu=$(awk 'NR == 2 { n = split($1 " " $2, part, /[ms ]+/); print int(60 * (part[1] + part[3]) + part[2] + part[4]) }' "$file")
    rm -f "$file"
    [[ -z $noted_step ]] || costs+=("$(printf '%-46s %6d s %10d s' "$noted_step" $((SECONDS - noted_wall)) $((cpu - noted_cpu)))")
    noted_step=$step noted_cpu=$cpu noted_wall=$SECONDS
}
print_costs() {
    note_time
    printf '%-46s %8s %12s\n' 'time of each step' clock processor
    printf '%s\n' "${costs[@]}"
}
stopped() { # status
    if [[ $1 == 130 || $1 == 143 ]]; then
        echo "Interrupted in step '$step'. Run the same command again and it goes on from there." >&2
    else
        echo "The quickstart stopped in step '$step'; the reason is above. Run it again and it goes on from there." >&2
    fi
}
trap 'stopped $?' ERR
trap 'echo; stopped 130; exit 130' INT
trap 'echo; stopped 143; exit 143' TERM

steps=6
[[ $task == cls ]] || steps=5
[[ -z $photos ]] || steps=2
step="1/$steps install"
title "$step"
bash tools/install.sh demo
downloads=$((SECONDS - start))

if [[ -n $photos ]]; then
    step='2/2 make the gate'
    title "$step"
    echo "Trained on: the photographs in $photos with the annotations $annotations, for the detector $detector."
    made=0
    "$python" -m miqa gate make "$photos" --task "$task" --machine "$detector" \
        --annotations "$annotations" --out "$work/gate" || made=$?
    # 3: made, and nothing can be guaranteed or pictures were skipped; the sentences above say which.
    [[ $made == 0 || $made == 3 ]] || { stopped "$made"; exit "$made"; }
    printf '\n=== done in %d min ===\nOpen %s first: it says whether the gate is worth using.\n' \
        $(((SECONDS - start) / 60)) "$work/gate/report.html"
    exit
fi

step="2/$steps build the database"
title "$step"
[[ $task == cls ]] || cat <<END
Trained on: scenes pasted together from cut-out objects, not photographs. This shows how a gate is made; the gate is not one for
your footage. To train on annotated photographs set MIQA_PHOTOS, MIQA_ANNOTATIONS and MIQA_MACHINE (see --help).
END
"$python" tools/data/make_demo.py --task "$task" --out "$data" "${demo_options[@]}"

# A finished training is kept as long as its own config, the labels and the splits stay what they were.
identify() { "$python" -m miqa.engine.identity --data-root "$data" "$@"; }

# The log files in the work dirs hold everything; the screen is spared the dumps of environment, config and hooks.
brief() {
    awk '/^[0-9][0-9]\/[0-9][0-9] / { show = !/INFO - *$|INFO - Config:|Hooks will be executed/ } NR == 1 && !/INFO/ { show = 1 }
        show { print; fflush() }'
}

train() { # name, config, key, further arguments
    local folder=$work/$1 config=$2 key=$3
    shift 3
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
    "$python" tools/train.py "$config" --data-root "$data" --work-dir "$folder" --resume auto "$@" | brief
    touch "$folder/finished-$key"
}

check() { # name, config, key, further arguments
    local folder=$work/$1 key=$3
    if [[ -e $folder/tested-$key ]]; then
        echo "Tested before: $folder/test/predictions.csv"
        return
    fi
    "$python" tools/test.py "$2" "$folder/best.pth" --data-root "$data" --out "$folder/test" "${@:4}" | brief
    touch "$folder/tested-$key"
}

# bfloat16 where the processor computes in it. Only for what is not trained: there a CPU's bfloat16 is slower.
amp=$("$python" -c 'from miqa.running.processor import has_bfloat16; print("--amp" * has_bfloat16())')

# What the frozen probe says of every picture, once for all trainings.
cache_probe() { # config, key, further arguments
    features=$work/response_features-$2
    if [[ ! -d $features ]]; then
        "$python" tools/data/cache_features.py "$1" --split all --data-root "$data" --workers 1 --out "$features" $amp "${@:3}"
    fi
    cached=(train_dataloader.dataset.pipeline.0.cache="$features" val_dataloader.dataset.pipeline.0.cache="$features")
}

if [[ $task != cls ]]; then
    # Detectors and segmenters: scenes, a gate, and its curve. The gate looks through one of the two detectors.
    config=response_lite_$task probe=(model.network.probe.pretrained="$data/detectors/lite0_rcnn.pth")
    looks=@lite0_rcnn confidence=confidence:lite0_rcnn
    if [[ -e $data/detectors/pretrained_$task.py ]]; then
        config=response_$task probe=() looks='' confidence=confidence
        # Of det this detector is also one of those that made the labels; ins has one machine, which is another.
        [[ $task == ins ]] || looks=@ssdlite320_mobilenet_v3_large confidence=confidence:ssdlite320_mobilenet_v3_large
    fi
    step='3/5 train the gate'
    title "$step"
    key=$(identify "configs/cached/$config.py")
    cache_probe "configs/mini/$config.py" "$key" ${probe:+--cfg-options "${probe[@]}"}
    train gate "configs/cached/$config.py" "$key" --label accuracy --cfg-options "${cached[@]}" "${probe[@]}"

    step='4/5 test it on held-out scenes'
    title "$step"
    check gate "configs/mini/$config.py" "$key" --label accuracy
    "$python" tools/analysis/compare.py "$data" --task "$task" --label accuracy --out "$work/comparison" --methods \
        "gate$looks=$work/gate/test/predictions.csv" PSNR SSIM sharpness blur-exposure "$confidence"
    "$python" -m miqa models --register-demo "$work/gate/best.pth"

    step='5/5 fit a threshold that promises something'
    title "$step"
    # Of the pictures on which the detectors do well, at most a fifth is stopped, with 90 % confidence by scene.
    fitted=0
    "$python" -m miqa gate fit "$work/gate/test/predictions.csv" --score-column prediction \
        --outcome-column ground_truth --group-column source --no-target --max-false-alarms 0.2 --confidence 0.9 \
        --out "$work/gate.json" --overwrite || fitted=$?
    threshold="its threshold $work/gate.json" use="--gate \"$work/gate.json\""
    if [[ $fitted == 3 ]]; then
        # Nothing can be promised from so few scenes. That is an answer, and an earlier one is not this gate's.
        rm -f "$work/gate.json"
        threshold='without a threshold that promises something (see above)' use='--threshold 0.5'
        echo "A database with more scenes: MIQA_TASK=$task MIQA_DEMO='--scenes 144' MIQA_DATA=data/demo144 MIQA_WORK=work_dirs/quickstart144 bash tools/quickstart.sh"
    elif [[ $fitted != 0 ]]; then
        stopped "$fitted"
        exit "$fitted"
    fi

    seconds=$((SECONDS - start))
    echo
    print_costs
    cat <<END

=== done in $((seconds / 60)) min $((seconds % 60)) s, of which installing took $((downloads / 60)) min $((downloads % 60)) s ===
database      $data  (what the scenes are made of: scene_origins.json)
detectors     $(ls "$data"/detectors/*_"$task".py)
gate          $work/gate/best.pth, $threshold
table         $work/comparison/comparison.csv
its curve     $work/comparison/filter_curve.png: what the detectors do on the pictures that are left when the lowest-scored are removed

The held-out scenes show objects and backgrounds that no training scene of the gate shows. The small detectors know all
objects, from other scenes: like the detector of a production line. docs/your_own_models.md says more.

Next:
  source "$venv/bin/activate"
  miqa filter FOLDER --model demo --task $task $use --to GOOD
  docs/your_own_models.md: the same for your pictures and your detector
END
    exit
fi

step='3/6 train the response-aware model'
title "$step"
keys=$(identify configs/cached/response_cls.py configs/mini/ra_miqa_cls.py configs/distill/mini.py)
{ read -r key; read -r key_ra_miqa; read -r key_student; } <<<"$keys"
key_student+=-$key  # it learns what the first says
cache_probe configs/mini/response_cls.py "$key"
train response configs/cached/response_cls.py "$key" --cfg-options "${cached[@]}"
# Five folds: every picture is scored by a model that never saw its photograph, for the second table.
"$python" tools/analysis/cross_validate.py configs/cached/response_cls.py --data-root "$data" \
    --out "$work/folds-$key" --labels composite consistency accuracy --cfg-options "${cached[@]}" | brief

# The model `demo` of the examples.
"$python" -m miqa models --register-demo "$work/response/best.pth"

step='4/6 train two more models'
title "$step"
small_ra_miqa=()
if [[ $full == 1 ]]; then
    train ra_miqa configs/mini/ra_miqa_cls.py "$key_ra_miqa"
    small_ra_miqa=("RA-MIQA (small)=$work/ra_miqa/test/predictions.csv")
    # It learns the scores of `demo` on the training photographs, damaged on the fly.
    train student configs/distill/mini.py "$key_student"
    "$python" -m miqa export "$work/student/demo_fast.onnx" --model "$work/student/best.pth" --overwrite
    "$python" -m miqa models --register-demo-fast "$work/student/demo_fast.onnx"
else
    echo "Skipped; MIQA_FULL=1 bash tools/quickstart.sh trains them, too: a small RA-MIQA, and demo-fast."
fi

step='5/6 test on held-out photographs'
title "$step"
check response configs/mini/response_cls.py "$key"
if [[ $full == 1 ]]; then
    check ra_miqa configs/mini/ra_miqa_cls.py "$key_ra_miqa"
    check student configs/distill/mini.py "$key_student"
fi

step='6/6 compare'
title "$step"
"$python" tools/analysis/compare.py "$data" --task cls --label composite --out "$work/comparison" --methods \
    "response-aware@tf_efficientnet_lite0=$work/response/test/predictions.csv" "${small_ra_miqa[@]}" \
    PSNR SSIM sharpness blur-exposure confidence:tf_efficientnet_lite0
"$python" tools/analysis/compare.py "$data" --task cls --label composite --split all \
    --out "$work/comparison_folds" --methods "response-aware (5 folds)@tf_efficientnet_lite0=$work/folds-$key/predictions.csv" \
    sharpness blur-exposure confidence:tf_efficientnet_lite0

seconds=$((SECONDS - start))
echo
print_costs
cat <<END

=== done in $((seconds / 60)) min $((seconds % 60)) s, of which installing took $((downloads / 60)) min $((downloads % 60)) s ===
database      $data  (where the photographs come from: origins.json)
checkpoints   $work/response/best.pth (demo)
${small_ra_miqa:+              $work/ra_miqa/best.pth, $work/student/best.pth (demo-fast)
}tables        $work/comparison/comparison.csv
              $work/comparison_folds/comparison.csv
plots         $work/comparison/filter_curve.png, scatter_*.png

How to read the tables: best.pth is the best epoch on photographs set apart from the training ones; the held-out
photographs of the first tables are looked at once. In the last ones, of five folds, every photograph is held out once.
The response-aware model looks through one of the three classifiers that made the labels; the tables
'labels from all machines but tf_efficientnet_lite0' leave it out of the labels and come first: they are the ones to
believe.

Next:
  source "$venv/bin/activate"
  miqa image PHOTO.jpg --model demo
  miqa image PHOTO.jpg                           # the packaged model miqa-lite
  python tools/test.py configs/mini/response_cls.py "$work/response/best.pth" --data-root "$data"
  miqa image PHOTO.jpg --model demo --label accuracy       # the same weights score consistency and accuracy, too
  README.md, "Train on MIQD-2.5M": the same command, and tools/train.py, with configs/ra_miqa_cls.py and the whole database
END
