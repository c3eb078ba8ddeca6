"""Full-reference image quality of distorted pictures: piq's numbers, in a fraction of its time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from miqa.taxonomy import MEASURES, check_choice

from .apply import check_image
from .information import InformativeSource
from .structure import StructuralSource
from .visual_saliency import SalientSource

#: Shortest side in pixels from which a measure is defined. SSIM has a window of 11; MS-SSIM halves the picture four
#: times and keeps a window (11 - 1) * 2^4 + 1; VIF-p asks for 41 (piq 0.8).
SHORTEST_SIDE = {'PSNR': 1, 'SSIM': 11, 'MS-SSIM': 161, 'VIF-p': 41, 'VSI': 1}

_PSNR_FLOOR = 1e-8  # What piq adds to the mean squared error of values in [0, 1]


class FidelitySource:
    """A source that versions are compared with: what a measure needs of it is computed once.

    The numbers are those that piq (0.8) gives in double precision, to 1e-5. In single precision, its default, piq
    itself is off by up to 1e-4 on photographs, and by more where much of them is one even, bright area. Everything
    runs in the calling thread, so that the numbers depend neither on the machine's cores nor on what is measured
    beside; several threads may share one object.

    Args:
        reference: uint8 RGB (H, W, 3) or grey (H, W), the source. Grey counts as RGB with equal channels.
        names: some of :data:`MEASURES`.
        undefined: for a picture whose shorter side is below :data:`SHORTEST_SIDE`, 'raise' an error or give 'nan'.

    Raises:
        ValueError: a name is unknown, or the picture is too small for a measure.
    """

    def __init__(self, reference: np.ndarray, names: Sequence[str] = MEASURES, undefined: str = 'raise'):
        check_choice(undefined, ('raise', 'nan'), "value of 'undefined'")
        check_image(reference)
        for name in names:
            check_choice(name, MEASURES, 'measure')
        reasons = {name: why_undefined(name, reference.shape) for name in names}
        if undefined == 'raise' and any(reasons.values()):
            raise ValueError(next(filter(None, reasons.values())))
        self.reference, self.names = reference, tuple(names)
        computed = {name for name, reason in reasons.items() if reason is None}
        self._psnr = 'PSNR' in computed
        self._structure: StructuralSource | None = None
        self._information: InformativeSource | None = None
        self._saliency: SalientSource | None = None
        if not computed - {'PSNR'}:
            return
        values = _values(reference)
        if computed & {'SSIM', 'MS-SSIM'}:
            self._structure = StructuralSource(values, 'SSIM' in computed, 'MS-SSIM' in computed)
        if 'VIF-p' in computed:
            self._information = InformativeSource(values)
        if 'VSI' in computed:
            self._saliency = SalientSource(values)

    def measure(self, distorted: np.ndarray) -> dict[str, float]:
        """Compare a version, uint8 of the source's shape: the value of each measure, in the order of the names.

        A value that is not defined is NaN.

        Raises:
            ValueError: the shapes differ.
        """
        check_image(distorted)
        if self.reference.shape != distorted.shape:
            raise ValueError(
                f'Fidelity compares pictures of one shape, not {self.reference.shape} and {distorted.shape}.'
            )
        results: dict[str, float] = {}
        if self._psnr:
            squares = cv2.norm(self.reference.reshape(1, -1), distorted.reshape(1, -1), cv2.NORM_L2SQR)
            results['PSNR'] = -10 * math.log10(squares / (255**2 * distorted.size) + _PSNR_FLOOR)
        if self._structure or self._information or self._saliency:
            values = _values(distorted)
            if self._structure:
                results.update(self._structure.measure(values))
            if self._information:
                results['VIF-p'] = self._information.measure(values)
            if self._saliency:
                results['VSI'] = self._saliency.measure(values)
        return {name: round(results[name], 6) if name in results else math.nan for name in self.names}


def fidelity(
    reference: np.ndarray, distorted: np.ndarray, names: Sequence[str] = MEASURES, undefined: str = 'raise'
) -> dict[str, float]:
    """Compare a distorted picture with its source; for many versions of one make a :class:`FidelitySource`.

    PSNR is in dB and, as piq adds 1e-8 to the mean squared error, 80 for equal pictures; the others are 1 for
    equal pictures and lower for worse ones. Numbers are rounded to six digits after the point, which is
    about what single precision holds. Arguments and errors are those of :class:`FidelitySource`.
    """
    return FidelitySource(reference, names, undefined).measure(distorted)


def why_undefined(name: str, shape: tuple[int, ...]) -> str | None:
    """Say why a measure is not defined for a picture of this shape (H, W, ...), or return None if it is."""
    if min(shape[:2]) >= SHORTEST_SIDE[name]:
        return None
    return (
        f'{name} needs pictures of at least {SHORTEST_SIDE[name]} x {SHORTEST_SIDE[name]} pixels; '
        f'this one is {shape[1]} x {shape[0]}.'
    )


def _values(image: np.ndarray) -> np.ndarray:
    """Return float32 RGB (H, W, 3), 0 to 255."""
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return image.astype(np.float32)
