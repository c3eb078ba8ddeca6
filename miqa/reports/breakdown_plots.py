"""Heat maps, residuals and contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from miqa.pictures import UnreadableImage, read_image

from .plots import new_figure

_RED, _BLUE = '#D55E00', '#0072B2'  # Okabe and Ito's colours, as in plots.py


def heat_map(
    table: pd.DataFrame,
    *,
    title: str = '',
    xlabel: str = '',
    ylabel: str = '',
    low: float | None = None,
) -> Figure:
    """Draw a table of numbers as coloured squares with the numbers in them; NaN stays empty, with a dash.

    Index and columns become the tick labels; ``low`` is the value of the lightest colour, else the least value.
    """
    values = table.to_numpy(float)
    finite = values[np.isfinite(values)]
    low = low if low is not None else finite.min(initial=0 if not finite.size else finite[0])
    high = finite.max(initial=1 if not finite.size else finite[0])
    rows, columns = values.shape
    figure = Figure(figsize=(1.9 + 0.72 * columns, 1.3 + 0.46 * rows), layout='constrained')
    axes = figure.subplots()
    picture = axes.imshow(
        np.ma.masked_invalid(values), cmap='YlGnBu', vmin=low, vmax=max(high, low + 1e-9), aspect='auto'
    )
    for row in range(rows):
        for column in range(columns):
            value = values[row, column]
            # White on the dark third of the colours.
            dark = np.isfinite(value) and value > low + 0.6 * (high - low)
            text = f'{value:.3f}' if np.isfinite(value) else '–'
            axes.text(column, row, text, ha='center', va='center', fontsize=8.5, color='white' if dark else '#222222')
    names = [str(name) for name in table.columns]
    slanted = columns > 5 or max(map(len, names), default=0) > 9
    axes.set_xticks(range(columns), names, rotation=30 * slanted, ha='right' if slanted else 'center')
    axes.set_yticks(range(rows), [str(name) for name in table.index])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    figure.colorbar(picture, ax=axes, shrink=0.85, pad=0.02).outline.set_visible(False)
    return figure


def residual_plot(predictions: pd.DataFrame, residual: pd.Series) -> Figure:
    """Draw the distribution of residuals and, for each distortion, their median and quartiles.

    Args:
        predictions: with the column ``distortion``.
        residual: mapped prediction minus label, in the same order.
    """
    figure, ((left, right),) = new_figure(8.4, 3.8, 1, 2, width_ratios=(1, 1.25))
    left.hist(residual, bins=60, color=_BLUE, alpha=0.85)
    left.axvline(0, color='0.3', lw=1)
    left.set(xlabel='mapped prediction − label', ylabel='images')
    parts = residual.groupby(predictions.distortion.to_numpy()).quantile([0.25, 0.5, 0.75]).unstack()
    parts = parts.sort_values(0.5)
    places = np.arange(len(parts))
    right.hlines(places, parts[0.25], parts[0.75], color=_BLUE, lw=5, alpha=0.5)
    right.plot(parts[0.5], places, 'o', color=_RED, ms=6)
    right.axvline(0, color='0.3', lw=1)
    right.set_yticks(places, list(parts.index))
    right.set(xlabel='median and quartiles: left is scored too low, right too high')
    return figure


def contact_sheet(worst: pd.DataFrame, image_folder: str | Path) -> Figure:
    """Draw images with their label and mapped prediction: one picture a row of ``worst``, four side by side.

    A picture that cannot be read is replaced by the reason.

    Args:
        worst: from :func:`miqa.reports.breakdowns.worst_predictions`.
        image_folder: the folder that ``image`` paths are below.
    """
    across = 4
    down = max(1, -(-len(worst) // across))
    figure = Figure(figsize=(11, 2.75 * down + 0.4), layout='constrained')
    all_axes = np.atleast_1d(figure.subplots(down, across)).ravel()
    for axes in all_axes:
        axes.set_axis_off()
    for axes, row in zip(all_axes, worst.itertuples(), strict=False):
        try:
            picture = Image.fromarray(read_image(Path(image_folder) / row.image))
            picture.thumbnail((260, 260))
            axes.imshow(np.asarray(picture))
        except (UnreadableImage, FileNotFoundError) as error:
            axes.text(0.5, 0.5, str(error), ha='center', va='center', wrap=True, fontsize=7, transform=axes.transAxes)
        levels = f'fg {row.fg_level}, bg {row.bg_level}'
        axes.set_title(
            f'{row.source}\n{row.distortion}, {levels}\nlabel {row.ground_truth:.2f}, scored '
            f'{row.ground_truth + row.residual:.2f}',
            fontsize=8,
            color=_RED if row.residual > 0 else _BLUE,
        )
    return figure
