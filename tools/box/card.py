"""The card of the model that ships: what it is, what it was trained on, how good it is, what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

from kinds import KINDS, PLACES
from photographs import Photograph

_TRUNK = (
    'the trunk is EfficientNet-Lite0 with its ImageNet-1k weights (Apache-2.0), not fine-tuned; the heads on it are '
    'trained by our script. The probability that a picture is not damaged adds to consistency and accuracy. Pictures '
    'whose mean is below a fifth of full scale are seen a second time, brightened: where their classes do not stay '
    'the same, this lowers consistency and accuracy'
)
_CHOICE = (
    'About 60 variants of features and heads, 130 of the second look and 70 of the diagnosis as evidence were '
    'compared, on the photographs chosen on and on the even-numbered scenes of the real pairs. The odd-numbered '
    'scenes were printed beside them in most runs, so they are not untouched; the photographs reported on were judged '
    'after the choice, but for two weights of the diagnosis, which were printed for them, too.'
)
_DETECTION = (
    'a linear function of the response, the features and both scores for classifiers, fitted to {scenes} scenes of '
    "COCO with {versions} versions each (MIQD-2.5M's and camera damage) and what {detectors} answer to them: average "
    'precision (IoU 0.5) against the annotations (accuracy) and against what they detect in the clean scene with a '
    'score of 0.3 and more (consistency), each the mean of the three. What it reads, its weights and the decay were '
    'chosen among some 60 variants by five folds of one half of the scenes'
)
_LIMITS = (
    "It predicts what ImageNet classifiers and detectors of COCO's classes do with a picture. For a machine of yours, "
    'train a gate of your own. For ins it answers as for det: no instance segmenter was at hand to train or judge it.',
    'Half of what a detector loses lies in the scene (small, crowded, rare objects) and hardly shows in these scores.',
    'Scores rank pictures of a kind; a difference of scores between unlike pictures says little.',
    'On real pairs of good and bad pictures it is far from what is possible, and from one half of the scenes to the '
    'other the figures differ widely: see the table of real pairs.',
    'The kind of damage is learned from simulated damage; of mixtures only one kind is named.',
    'Classes of parts of photographs are not known, so accuracy is learned from whole photographs alone.',
    'Every picture is seen as a square of 224 pixels: damage that this resize removes is not seen.',
)


def write_card(
    folder: Path, photographs: list[Photograph], scenes: dict, made: dict, least: tuple[float, float], results: dict
) -> None:
    """Write ``card.json`` and ``card.md`` into a folder.

    Args:
        folder: of the model.
        photographs: all that were used.
        scenes: ``scenes``, ``versions`` of each, names of the ``detectors``.
        made: seed, commit, threads and script.
        least: probabilities from which on kinds and places are said.
        results: of the judging.
    """
    credited = sorted({photo.credit for photo in photographs if photo.credit[0]})
    card = {
        'name': 'miqa-lite',
        'tasks': ['cls', 'det', 'ins'],
        'labels': ['composite', 'consistency', 'accuracy'],
        'kinds': list(KINDS),
        'places': list(PLACES),
        'least_kind': least[0],
        'least_place': least[1],
        'begins_from': _TRUNK,
        'choice': _CHOICE,
        'for_detectors': _DETECTION.format(**scenes),
        'license': 'Apache-2.0 (EfficientNet-Lite0); the rest as this project',
        'trained_on': {
            'photographs': sum(photo.split == 'train' for photo in photographs),
            'chosen_on': sum(photo.split == 'choose' for photo in photographs),
            'reported_on': sum(photo.split == 'report' for photo in photographs),
            'sources': 'photographs of Python packages; development set of the NIPS 2017 adversarial competition',
            'labels': 'EfficientNet-Lite0, 1 and 2: soft consistency and top-1 accuracy; judged by Lite1 and 2 alone',
        },
        'made': made,
        'limits': list(_LIMITS),
        'results': results,
        'authors': sorted({author for author, _, _ in credited}),
    }
    text = json.dumps(card, indent=1, ensure_ascii=False) + '\n'
    (folder / 'card.json').write_text(text, encoding='utf-8')
    (folder / 'card.md').write_text(_markdown(card), encoding='utf-8')


def _markdown(card: dict) -> str:
    trained, made = card['trained_on'], card['made']
    lines = [
        '# miqa-lite',
        '',
        'The quality model that ships with MIQA: one ONNX file of 10 MB that needs no PyTorch. It '
        'predicts consistency, accuracy and composite (their mean) for image classifiers and for detectors, the kind '
        'of damage, its strength (levels 0 to 5) and what suffers, and gives its features for networks of your own.',
        '',
        f'**Network:** {card["begins_from"]}.',
        '',
        f'**Training:** {trained["photographs"]} photographs ({trained["sources"]}), each as it is and in 15 versions '
        "with MIQD-2.5M's and camera damage, and a random part of each in 8 versions, so that scenes of which "
        f'classifiers are unsure are seen, too. Labels: {trained["labels"]}. '
        f'Chosen on {trained["chosen_on"]} other photographs, reported '
        f'on {trained["reported_on"]} further ones. Made by `{made["script"]}`, seed {made["seed"]}, commit '
        f'`{made["commit"][:12]}`, {made["threads"]} thread.',
        '',
        f'**For detectors (det, and for want of anything else ins):** {card["for_detectors"]}.',
        '',
        f'**Choice:** {card["choice"]}',
        '',
        '## Measured',
        '',
        "SRCC with the interval of 95 % over photographs, beside that of Lite0's maximum probability.",
        '',
        '| versions | label | miqa-lite | maximum probability | gain |',
        '|---|---|---|---|---|',
    ]
    for key, title in (
        ('photographs_never_seen', 'all'),
        ('photographs_never_seen_miqd', "MIQD's"),
        ('photographs_never_seen_camera', 'camera'),
    ):
        for label in ('composite', 'consistency', 'accuracy'):
            row = card['results'][key][label]
            cells = ' | '.join(_cell(row[name]) for name in ('srcc', 'confidence', 'gain'))
            lines.append(f'| {title} | {label} | {cells} |')
    whole = card['results']['photographs_never_seen']
    lines += [
        '',
        f'Kind of damage: right in {_cell(whole["kind_accuracy"])} of versions, among those that are there in '
        f'{whole["kind_among_those_there"]}; mean error of strength {whole["strength_error_in_levels"]} levels; what '
        f'suffers: right in {whole["place_accuracy"]}. Kinds are `unknown` below a probability of '
        f'{card["least_kind"]}, places below {card["least_place"]}.',
    ]
    lines += [
        '',
        'Detectors, on the other half of the scenes, by a fit to the first (the file is fitted to both):',
        '',
        '| versions | label | miqa-lite | its score for classifiers | mean confidence of the detectors | gain |',
        '|---|---|---|---|---|---|',
    ]
    for key, title in (('', 'all'), ('_miqd', "MIQD's"), ('_camera', 'camera')):
        for label in ('composite', 'consistency', 'accuracy'):
            row = card['results'][f'scenes_never_seen{key}'][label]
            cells = ' | '.join(_cell(row[name]) for name in ('srcc', 'classifiers', 'confidence', 'gain'))
            lines.append(f'| {title} | {label} | {cells} |')
    if 'real_pairs_reported' in card['results']:
        lines += [
            '',
            'Real pairs (the label is how far Lite1 and 2 keep their output). Odd-numbered scenes are reported, on '
            'even-numbered ones variants were compared:',
            '',
            '| scenes | score | within sets | pooled | bad below good | where machines lose |',
            '|---|---|---|---|---|---|',
        ]
        for half, key in (('odd', 'real_pairs_reported'), ('even', 'real_pairs_choosing')):
            pairs = card['results'][key]
            for title, row in (
                ('miqa-lite, consistency', pairs['consistency']['model']),
                ('miqa-lite, composite', pairs['composite']['model']),
                ('maximum probability', pairs['consistency']['confidence']),
                ("limit: Lite0's own consistency", pairs['consistency']['limit']),
            ):
                lines.append(
                    f'| {half} | {title} | {_cell(row["within_interval"])} | {_cell(row["pooled_interval"])} '
                    f'| {row["ordered"]} | {row["ordered_where_lost"]} |'
                )
    lines += ['', '## Limits', '', *(f'- {limit}' for limit in card['limits'])]
    lines += ['', '## Authors of the photographs (CC BY)', '', ', '.join(card['authors']) + '.', '']
    return '\n'.join(lines)


def _cell(values: list[float]) -> str:
    return f'{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]'
