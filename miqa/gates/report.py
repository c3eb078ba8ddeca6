"""The report of a gate: one offline page."""

from __future__ import annotations

import base64
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from miqa.apis.gate_model import AFTER
from miqa.apis.gate_threshold import BEFORE
from miqa.apis.inputs import preview
from miqa.keeping import atomic_write
from miqa.pictures import UnreadableImage
from miqa.reports.escaped_html import render
from miqa.reports.plots import new_figure
from miqa.reports.report_page import Page, data_table, paragraph, pictures
from miqa.taxonomy import DISTORTION_FAMILIES

from .make import LAPLACIAN, OWN, BuiltGate, verdict
from .worth import HEADLINE, RANDOM, REMOVED, Worth, difference

SHOWN = 5  # Pictures of the best and of the worst
_THUMBNAIL_PIXELS = 60_000
_MOST_NAMED = 6  # Kinds of one row that are named
_LEAST_OF_KIND = 10  # Kinds with fewer pictures are shown together, as far as they are of one module

_OUTCOMES = {
    ('det', 'accuracy'): 'the average precision of a picture (AP .50 to .95)',
    ('ins', 'accuracy'): 'the average precision of a picture (mask AP .50 to .95)',
    ('seg', 'accuracy'): 'the mean IoU of a picture',
    ('cls', 'accuracy'): 'the share of right answers',
}
_AGREEMENT = "agreement with the machine's own answer to the clean picture"


def outcome_name(task: str, label: str) -> str:
    """Return what an outcome is, in words."""
    return _OUTCOMES.get((task, label), _AGREEMENT)


def headline(gate: BuiltGate) -> list[str]:
    """Return what the gate is worth, in sentences."""
    worth, outcome = gate.worth, outcome_name(gate.folder.task, gate.folder.label)
    if gate.pooled is not None:
        worth, outcome = gate.pooled, 'the AP50 of what is kept'
    dropped = round(100 * HEADLINE)
    position = REMOVED.index(HEADLINE)
    sentences = []
    for head, when in ((AFTER, 'after the machine has answered'), (BEFORE, 'before the machine runs')):
        curve = worth[head].curve
        sentences.append(
            f'Of 100 pictures like yours, dropping the {dropped} that the gate scores lowest {when} moves {outcome} '
            f'from {curve[0]:.3f} to {curve[position]:.3f} (gain {worth[head].gain}).'
        )
    _, more = difference(worth[AFTER], worth[OWN])
    sentences.append(
        f"The machine's own confidence would give {worth[OWN].curve[position]:.3f} (the gate after minus it: {more}), "
        f'Laplacian variance {worth[LAPLACIAN].curve[position]:.3f}, chance {worth[RANDOM].curve[position]:.3f}.'
    )
    return sentences


def write_gate_report(gate: BuiltGate, path: str | os.PathLike) -> Path:
    """Write the page and return its path; a file of this name is replaced."""
    folder, samples = gate.folder, gate.samples
    sources = len(set(samples.sources.tolist()))
    outcome = outcome_name(folder.task, folder.label)
    page = Page(
        f'A gate for {folder.machine.name}',
        f'{len(samples.names)} versions of {sources} photographs; outcome: {outcome}. Every score below is of a head '
        'that saw no version of the same photograph; intervals (95 %) are over photographs.',
    )
    page.add_section('In plain words', *map(paragraph, [*headline(gate), *_verdicts(gate), *gate.notes]))
    page.add_section('What each score is worth', data_table(worth_table(gate), caption=_HOW_TO_READ))
    drawn = [(_curves(gate.worth, outcome), f'Mean outcome of what is kept: {outcome}')]
    if gate.pooled is not None:
        drawn.append((_curves(gate.pooled, 'AP50'), 'AP50 of what is kept, all pictures together'))
    page.add_section('Filter curves', pictures(*drawn))
    page.add_section('Thresholds', *_thresholds(gate))
    page.add_section('By kind of damage', data_table(kinds_table(gate), digits=3, caption=_KINDS))
    order = np.argsort(-gate.scores[AFTER], kind='stable')
    for word, ranked in (('best', order), ('worst', order[::-1])):
        # One version of each photograph: the others look alike.
        _, firsts = np.unique(samples.sources[ranked], return_index=True)
        page.add_section(
            f'The five {word} photographs by the gate after', _thumbnails(gate, ranked[np.sort(firsts)[:SHOWN]])
        )
    with atomic_write(path) as temporary:
        temporary.write_text(page.html(), encoding='utf-8')
    return Path(path)


_HOW_TO_READ = (
    'SRCC: rank correlation of the score with the outcome. Gain: how much the mean outcome of what is kept rises when '
    'the lowest fifth goes. Cost: milliseconds a picture on this computer, measured while the gate was made; after '
    'includes the machine, which you run anyway.'
)
_KINDS = 'SRCC within the versions of one kind of damage, and the gain of dropping the lowest fifth of them.'


def _verdicts(gate: BuiltGate) -> list[str]:
    sentences = [sentence for head in (BEFORE, AFTER) for sentence in verdict(head, gate.worth)]
    return [] if all(sentence in gate.notes for sentence in sentences) else sentences


def worth_table(gate: BuiltGate) -> pd.DataFrame:
    """Return one row for each score: rank correlation, gain, what it gains over the machine's confidence, cost."""
    before, machine = (1000 * gate.seconds[name] for name in (BEFORE, 'machine'))
    costs = {BEFORE: before, AFTER: before + machine, OWN: machine}
    rows = {}
    for name, worth in gate.worth.items():
        row = {'SRCC': str(worth.srcc), 'gain at 80 % kept': str(worth.gain)}
        if name in (BEFORE, AFTER):
            srcc, gain = difference(worth, gate.worth[OWN])
            row |= {'SRCC above own confidence': str(srcc), 'gain above own confidence': str(gain)}
        else:
            row |= {'SRCC above own confidence': '', 'gain above own confidence': ''}
        if gate.pooled is not None:
            row['gain in AP50'] = str(gate.pooled[name].gain)
        row['ms a picture'] = f'{costs[name]:.0f}' if name in costs else ''
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient='index')
    table.index.name = 'score'
    return table


def kinds_table(gate: BuiltGate) -> pd.DataFrame:
    """Return one row for each kind of damage; rare kinds that one module makes are taken together, then all others."""
    from scipy.stats import spearmanr

    from .worth import kept_weights

    samples, rows = gate.samples, {}
    for kinds in _groups(samples.kinds.tolist()):
        mine = np.isin(samples.kinds, kinds)
        if mine.sum() < _LEAST_OF_KIND or np.ptp(samples.outcomes[mine]) == 0:
            continue
        outcomes, ones = samples.outcomes[mine], np.ones(int(mine.sum()))
        row: dict[str, float] = {'pictures': int(mine.sum()), 'mean outcome': float(outcomes.mean())}
        for name, scores in ((BEFORE, gate.scores[BEFORE]), (AFTER, gate.scores[AFTER]), (OWN, samples.own_confidence)):
            values = scores[mine]
            flat = np.ptp(values) == 0
            row[f'SRCC {name}'] = float('nan') if flat else float(spearmanr(values, outcomes).statistic)
            weights = kept_weights(values, ones, HEADLINE)
            row[f'gain {name}'] = float(weights @ outcomes / weights.sum() - outcomes.mean())
        name = f'{len(kinds)} other kinds' if len(kinds) > _MOST_NAMED else ', '.join(kinds).replace('_', ' ')
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient='index')
    table.index.name = 'damage'
    return table


def _groups(kinds: Sequence[str]) -> list[list[str]]:
    """Return names of kinds in groups of at least :data:`_LEAST_OF_KIND` pictures, of which the last may be smaller."""
    modules = {name: module for family in DISTORTION_FAMILIES.values() for name, module in family.items()}
    counts = Counter(kinds)
    groups: dict[str, list[str]] = {}
    for kind in sorted(counts):
        groups.setdefault(kind if counts[kind] >= _LEAST_OF_KIND else modules.get(kind, ''), []).append(kind)
    rare = [group for group in groups.values() if sum(counts[kind] for kind in group) < _LEAST_OF_KIND]
    return [*(group for group in groups.values() if group not in rare), *([sorted(sum(rare, []))] if rare else [])]


def _thresholds(gate: BuiltGate) -> list[str]:
    fragments: list[str] = []
    for head in (BEFORE, AFTER):
        text = gate.folder.thresholds[head].describe()
        fragments.append(paragraph(f'{head}: {text} {gate.promises.get(head, "")}'))
    fragments.append(
        paragraph(
            'Promises hold for pictures that come as these came. They are computed from cross-validated scores; the '
            'heads in the folder were then trained on all photographs.'
        )
    )
    return fragments


def _curves(worth: Mapping[str, Worth], outcome: str) -> Figure:
    figure, axes = new_figure(6.4, 4.2)
    styles: dict[str, dict[str, Any]] = {
        RANDOM: {'color': '0.6', 'ls': ':'},
        OWN: {'color': '#b3541e'},
        LAPLACIAN: {'color': '#7a7a7a'},
    }
    offsets = {BEFORE: -0.006, AFTER: 0.0, OWN: 0.006}  # else the intervals would hide each other
    for name, entry in worth.items():
        line = axes.plot(REMOVED, entry.curve, marker='o', ms=3, lw=2, label=name, **styles.get(name, {}))[0]
        if name in (BEFORE, AFTER, OWN):
            start, ends = entry.curve[0], [[entry.gain.value - entry.gain.low], [entry.gain.high - entry.gain.value]]
            axes.errorbar(
                [HEADLINE + offsets[name]],
                [start + entry.gain.value],
                yerr=np.maximum(ends, 0),
                color=line.get_color(),
                capsize=3,
            )
    axes.set(xlabel='share of lowest-scored pictures dropped', ylabel=outcome)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _thumbnails(gate: BuiltGate, positions: np.ndarray) -> Markup:
    pictures = []
    for position in positions.tolist():
        text = (
            f'{gate.samples.names[position]}: after {gate.scores[AFTER][position]:.3f}, before '
            f'{gate.scores[BEFORE][position]:.3f}, outcome {gate.samples.outcomes[position]:.3f}'
        )
        try:
            rgb = preview(str(gate.samples.paths[position]), _THUMBNAIL_PIXELS)
        except (OSError, UnreadableImage) as error:
            pictures.append({'data': '', 'width': 0, 'text': f'{text}; cannot be shown: {error}'})
            continue
        data = cv2.imencode('.jpg', rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        pictures.append({'data': base64.b64encode(data).decode('ascii'), 'width': rgb.shape[1], 'text': text})
    return render('miqa.gates', 'thumbnails.html', pictures=pictures)
