"""A streaming summary of many scores."""

from __future__ import annotations

import math
from collections import Counter

from miqa.outside.names import printable
from miqa.taxonomy import counted

BINS = 10
FEW = 20  # Fewer scores than this have no distribution worth a histogram
_WIDTH = 40


class Summary:
    """Counts, mean, deviation, extremes and a histogram over [0, 1], in memory that does not grow."""

    def __init__(self):
        self.count = self.skipped = 0
        self.lowest, self.highest = math.inf, -math.inf
        self.qualities: Counter[str] = Counter()
        self.errors: list[tuple[str, str]] = []
        self.failed = self.unwritten = 0
        # Below 0, ten bins of a tenth, above 1.
        self.bins = [0] * (BINS + 2)
        self._mean = self._squares = 0.0

    def add(self, score: float, quality: str) -> None:
        """Count one score (Welford's update, which loses no digits however many there are)."""
        self.count += 1
        step = score - self._mean
        self._mean += step / self.count
        self._squares += step * (score - self._mean)
        self.lowest, self.highest = min(self.lowest, score), max(self.highest, score)
        self.qualities[quality] += 1
        if score < 0:
            place = 0
        elif score > 1:
            place = BINS + 1
        else:
            place = 1 + min(int(score * BINS), BINS - 1)
        self.bins[place] += 1

    def fail(self, name: str, error: Exception, scored: bool = False, keep: int = 20) -> None:
        """Count an unreadable file, or one that was scored and something not written; ``keep`` are remembered."""
        self.failed += 1
        self.unwritten += scored
        if len(self.errors) < keep:
            self.errors.append((name, printable(str(error))))

    @property
    def mean(self) -> float:
        """Mean of the scores; NaN without any."""
        return self._mean if self.count else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the scores (over N); NaN without any."""
        return math.sqrt(self._squares / self.count) if self.count else math.nan

    def text(self) -> str:
        """Return the summary for people to read; nothing where one score says it all."""
        if self.count == 1 and not (self.skipped or self.failed):
            return ''
        lines = [f'{counted(self.count, "image")} scored']
        if self.skipped:
            lines[0] += f', {self.skipped} skipped (done before)'
        if self.failed:
            unread = self.failed - self.unwritten
            lines[0] += f', {unread} could not be read' if unread or not self.unwritten else ''
            lines[0] += f', pictures of {self.unwritten} could not be written' if self.unwritten else ''
        if self.count:
            words = ', '.join(f'{self.qualities[name]} {name}' for name in ('high', 'medium', 'low'))
            lines.append(
                f'mean {self.mean:.3f}, deviation {self.deviation:.3f}, '
                f'lowest {self.lowest:.3f}, highest {self.highest:.3f}; {words}'
            )
            lines += self._histogram() if self.count >= FEW else []
        lines += [f'  failed: {error}' for _, error in self.errors]
        if self.failed > len(self.errors):
            lines.append(f'  and {self.failed - len(self.errors)} more')
        return '\n'.join(lines)

    def _histogram(self) -> list[str]:
        names = ['  below 0 ', *(f'{i / BINS:.1f} - {(i + 1) / BINS:.1f}' for i in range(BINS)), '  above 1 ']
        most = max(self.bins)
        rows = []
        for place, (name, count) in enumerate(zip(names, self.bins, strict=True)):
            if count or 1 <= place <= BINS:
                bar = '#' * math.ceil(_WIDTH * count / most)
                rows.append(f'  {name.strip():>9} {count:>8} {bar}'.rstrip())
        return rows
