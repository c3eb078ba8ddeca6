"""Scores, words and heat maps as fields of a FiftyOne dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from miqa.running import require

if TYPE_CHECKING:
    from miqa.apis.model import MIQAModel


def assess_samples(
    samples: Any,
    model: MIQAModel,
    *,
    field: str = 'miqa',
    heatmap: bool | str = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Score every sample of a FiftyOne dataset or view and store the results in it.

    Args:
        samples: a dataset or view of pictures.
        model: a loaded model.
        field: name of the score's field (float); ``{field}_quality`` gets the word, ``{field}_error`` why there is
            no score, and with ``heatmap`` ``{field}_heatmap`` a :class:`fiftyone.Heatmap`.
        heatmap: True or a method of :meth:`miqa.apis.MIQAModel.assess`: slow, a picture at a time.
        overwrite: replace fields of these names; otherwise samples that have a score are left as they are.
        progress: show a bar.

    Returns:
        How many samples were ``scored``, ``failed`` and ``kept``.

    Raises:
        ImportError: FiftyOne is not installed.
    """
    fiftyone = require('fiftyone', 'Scoring a FiftyOne dataset')
    ids, paths = samples.values(['id', 'filepath'])
    existing = samples.values(field) if not overwrite and samples.has_field(field) else [None] * len(ids)
    todo = [(name, path) for name, path, score in zip(ids, paths, existing, strict=True) if score is None]
    counts = {'scored': 0, 'failed': 0, 'kept': len(ids) - len(todo)}
    scores: dict[str, float] = {}
    words: dict[str, str | None] = {}
    errors: dict[str, str] = {}
    with tqdm(total=len(todo), unit='image', desc='quality', disable=not progress) as bar:
        found_all = model.assess_all((path for _, path in todo), bar.update)
        for (name, _), assessment in zip(todo, found_all, strict=True):
            if assessment.score is None:
                errors[name] = str(assessment.error)
            else:
                scores[name], words[name] = assessment.score, assessment.quality
    counts['scored'], counts['failed'] = len(scores), len(errors)
    fields: tuple[tuple[dict, str], ...] = ((scores, ''), (words, '_quality'), (errors, '_error'))
    for found_values, suffix in fields:
        if found_values:
            samples.set_values(f'{field}{suffix}', found_values, key_field='id')
    if heatmap:
        method = 'occlusion' if heatmap is True else heatmap
        maps = {}
        for name, path in tqdm(
            [pair for pair in todo if pair[0] in scores], unit='image', desc='heat maps', disable=not progress
        ):
            values = model.assess(path, heatmap=method).values
            limit = float(abs(values).max()) or 1.0
            maps[name] = fiftyone.Heatmap(map=values.astype('float32'), range=[-limit, limit])
        if maps:
            samples.set_values(f'{field}_heatmap', maps, key_field='id')
    return counts
