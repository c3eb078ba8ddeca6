"""The result of scoring one picture of a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .diagnosis import Diagnosis


class Assessment(NamedTuple):
    """A score, or the reason why it is missing.

    Attributes:
        name: the path, or ``picture <number>`` without one.
        score: raw regression value, nominally 0 to 1, higher is better; None if the picture could not be read.
        quality: ``high``, ``medium`` or ``low``; None with the score.
        error: why there is no score, or None.
        damage: what is wrong with the picture, of a model that can tell, such as ``miqa-lite``; else None.
        views: scores of the picture's squares, float32 (rows, columns), with ``coverage='whole'``; else None. The
            score is their mean.
    """

    name: str
    score: float | None
    quality: str | None
    error: Exception | None = None
    views: np.ndarray | None = None
    damage: Diagnosis | None = None

    @property
    def minimum(self) -> float | None:
        """The lowest score of the picture's squares; the score itself where there is one square."""
        return self.score if self.views is None else float(self.views.min())

    @property
    def extra(self) -> dict[str, float | str | None]:
        """Further columns of result files: ``minimum``, where the whole picture counts, and ``damage``."""
        columns: dict[str, float | str | None] = {} if self.views is None else {'minimum': self.minimum}
        return columns if self.damage is None else {**columns, 'damage': str(self.damage)}
