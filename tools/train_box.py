"""Make the quality model that ships inside the package, and its card: photographs to ONNX file in one command.

    python tools/train_box.py --photographs nips2017_dev/ --pairs real_dev/ --scenes coco/ \
        --detectors yolox_nano.onnx nanodet_m.onnx FastestDet.onnx --work work_dirs/box --out miqa/box

``--photographs`` holds the development set of the NIPS 2017 adversarial competition (CC BY) with ``labels.csv``
(``filename, class_index, author, license, page``); the photographs that Python packages ship come on top. ``--pairs``
holds folders with ``good`` and ``bad`` pictures of the same scenes, of which the odd-numbered ones are reported.
``--scenes`` holds ``images`` and ``instances.json``, COCO's annotations of them, on which ``--detectors`` are run.
Every intermediate result is kept in ``--work``. Arithmetic runs on one thread for each process, so that a second run
gives the same scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / 'box'))

NAME = 'miqa_lite'


def main() -> None:
    """Build, train, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--photographs', type=Path, help='folder with labels.csv (default: packaged ones alone)')
    parser.add_argument('--pairs', type=Path, help='folder of real pairs (default: none are judged)')
    parser.add_argument('--scenes', type=Path, required=True, help='folder of annotated scenes')
    parser.add_argument(
        '--detectors', nargs=3, required=True, metavar='MACHINE', help='three, as `miqa label` takes them'
    )
    parser.add_argument('--work', type=Path, required=True, help='folder of intermediate results')
    parser.add_argument('--out', type=Path, required=True, help='folder of the model and its card')
    parser.add_argument('--seed', type=int, default=20261201)
    parser.add_argument('--jobs', type=int, default=2, help='processes that make the database')
    parser.add_argument('--limit', type=int, help='use only so many photographs, to try it out')
    parser.add_argument(
        '--versions', nargs=2, type=int, default=(7, 8), metavar=('MIQD', 'CAMERA'),
        help="versions of each photograph with MIQD's and with camera damage, of its part half as many (default: 7 8)",
    )  # fmt: skip
    parser.add_argument(
        '--scene-versions', nargs=2, type=int, default=(10, 12), metavar=('MIQD', 'CAMERA'),
        help='likewise of each scene (default: 10 12)',
    )  # fmt: skip
    args = parser.parse_args()

    import torch
    from card import write_card
    from classifiers import Classifiers, export_classifiers
    from database import FAMILIES, MACHINES, SIDE, build, load, whole_view
    from detection import fit_and_judge
    from detectors import Detectors, detector_configs, list_scenes
    from judging import judge_pairs, judge_versions, least_probabilities
    from network import BoxNetwork
    from photographs import SPLITS, Photograph, list_photographs, parts_of
    from real_pairs import label_pairs, list_pairs
    from shipping import OUTPUTS, about_model, export, open_outputs
    from training import labels_of, responses, train_heads, train_reader

    from miqa.keeping import sha256_of_file
    from miqa.pictures import read_image

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    photographs = list_photographs(args.photographs, args.seed, args.limit)
    export_classifiers(args.work / 'machines', MACHINES)
    network = BoxNetwork().eval()

    def made(name: str, entries: list[Photograph], versions: Sequence[int], judges: Callable) -> list[Path]:
        for family, count in zip(FAMILIES, (1, *versions), strict=True):
            build(args.work / name, entries, family, count, args.seed, judges, args.jobs)
        return [args.work / name / family for family in FAMILIES]

    def responses_of(folders: list[Path]) -> np.ndarray:
        views = [np.load(folder / 'views.npy', mmap_mode='r') for folder in folders]
        paths = [folder / 'responses.npy' for folder in folders]
        return np.concatenate([responses(network, *each, SIDE) for each in zip(views, paths, strict=True)])

    classifiers = partial(Classifiers, args.work / 'machines', MACHINES)
    folders = made('whole', photographs, args.versions, classifiers)
    folders += made('parts', parts_of(photographs), [max(count // 2, 1) for count in args.versions], classifiers)
    views, columns = load(folders)
    features = responses_of(folders)
    rows = {split: np.flatnonzero(columns['split'] == number) for number, split in enumerate(SPLITS)}
    labels = labels_of(columns, rows['train'])
    train_heads(network, features[rows['train']], labels, args.seed)
    for reader in network.readers:
        train_reader(
            reader, features[rows['train']], labels['quality'], columns['photograph'][rows['train']], args.seed
        )

    def part_of(split: str) -> dict[str, np.ndarray]:
        return {name: column[rows[split]] for name, column in columns.items()}

    configs = detector_configs(args.detectors, args.scenes)
    scenes = made(
        'scenes', list_scenes(args.scenes, args.limit), args.scene_versions, partial(Detectors, configs, args.scenes)
    )
    draft = args.work / f'{NAME}.onnx'
    provenance = {
        'seed': args.seed,
        # Git's names of the commit and of the script's modules; the second outlives a rebase.
        'commit': _git('rev-parse', 'HEAD'),
        'modules': _git('rev-parse', 'HEAD:tools/box'),
        'threads': 1,
        'script': 'tools/train_box.py',
    }
    export(network, SIDE, about_model(SIDE, (0.0, 0.0), provenance), draft)
    run = open_outputs(draft)
    least = least_probabilities(part_of('choose'), run([views[row] for row in rows['choose']]))
    report = run([views[row] for row in rows['report']])
    results = {'photographs_never_seen': judge_versions(part_of('report'), report)}
    scene_views, annotated = load(scenes)
    results.update(fit_and_judge(network, responses_of(scenes), run(list(scene_views)), annotated))
    export(network, SIDE, about_model(SIDE, least, provenance), draft)
    run = open_outputs(draft)
    for number, family in enumerate(FAMILIES[1:], 1):
        chosen = np.isin(columns['family'][rows['report']], (0, number))
        results[f'photographs_never_seen_{family}'] = judge_versions(
            {name: column[chosen] for name, column in part_of('report').items()},
            {name: column[chosen] for name, column in report.items()},
        )
    if args.pairs is not None:
        pairs = list_pairs(args.pairs)
        labels_of_pairs = label_pairs(pairs, Classifiers(args.work / 'machines', MACHINES))
        outputs = run([whole_view(read_image(path)) for pair in pairs for path in pair[2:]])
        names, scenes = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
        for half, title in ((0, 'choosing'), (1, 'reported')):
            part = scenes % 2 == half
            results[f'real_pairs_{title}'] = {
                label: judge_pairs(
                    names[part],
                    scenes[part],
                    {name: values[part] for name, values in labels_of_pairs.items()},
                    outputs[label].reshape(-1, 2)[part],
                )
                for label in ('consistency', 'composite')
            }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f'{NAME}.onnx').write_bytes(draft.read_bytes())
    used = {
        'scenes': len(np.unique(annotated['photograph'])), 'versions': 1 + sum(args.scene_versions),
        'detectors': ', '.join(Path(name).stem for name in args.detectors),
    }  # fmt: skip
    write_card(args.out, photographs, used, provenance, least, results)
    print(json.dumps(results, indent=1), list(OUTPUTS), sep='\n')
    print(f"To ship it, say in miqa/apis/methods.py: LITE_SHA256 = '{sha256_of_file(args.out / f'{NAME}.onnx')}'")


def _git(*words: str) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run(['git', *words], capture_output=True, text=True, check=True, cwd=root).stdout.strip()


if __name__ == '__main__':
    main()
