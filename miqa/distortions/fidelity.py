"""Full-reference image quality of a distorted picture, through piq."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..taxonomy import check_choice
from .apply import check_image

#: The measures of MIQD-2.5M's quality files, in the order of their columns.
MEASURES = ('PSNR', 'SSIM', 'MS-SSIM', 'VIF-p', 'VSI')

#: Shortest side in pixels from which a measure is defined. SSIM has a window of 11; MS-SSIM halves the picture four
#: times and keeps a window (11 - 1) * 2^4 + 1; VIF-p asks for 41 (piq 0.8).
SHORTEST_SIDE = {'PSNR': 1, 'SSIM': 11, 'MS-SSIM': 161, 'VIF-p': 41, 'VSI': 1}


def fidelity(
    reference: np.ndarray, distorted: np.ndarray, names: Sequence[str] = MEASURES, undefined: str = 'raise'
) -> dict[str, float]:
    """Compare a distorted picture with its source.

    PSNR is in dB and, as piq adds 1e-8 to the mean squared error, 80 for equal pictures; the others are 1 for
    equal pictures and lower for worse ones. Numbers are rounded to six digits after the point, which is
    about what single precision holds.

    Args:
        reference: uint8 RGB (H, W, 3) or grey (H, W), the source. Grey counts as RGB with equal channels.
        distorted: uint8 of the same shape.
        names: some of :data:`MEASURES`.
        undefined: for a picture whose shorter side is below :data:`SHORTEST_SIDE`, 'raise' an error or give 'nan'.

    Returns:
        The value of each measure by name.

    Raises:
        ValueError: the shapes differ, a name is unknown, or the picture is too small for a measure.
    """
    # They take seconds to import, and making pictures does not need them.
    import piq
    import torch

    check_choice(undefined, ('raise', 'nan'), "value of 'undefined'")
    for image in (reference, distorted):
        check_image(image)
    if reference.shape != distorted.shape:
        raise ValueError(f'Fidelity compares pictures of one shape, not {reference.shape} and {distorted.shape}.')
    functions = {
        'PSNR': piq.psnr,
        'SSIM': piq.ssim,
        'MS-SSIM': piq.multi_scale_ssim,
        'VIF-p': piq.vif_p,
        'VSI': piq.vsi,
    }
    tensors = None
    out = {}
    for name in names:
        check_choice(name, MEASURES, 'measure')
        if reason := why_undefined(name, reference.shape):
            if undefined == 'raise':
                raise ValueError(reason)
            out[name] = math.nan
            continue
        if tensors is None:
            tensors = [_to_tensor(image) for image in (distorted, reference)]
        with torch.inference_mode(), _one_torch_thread():
            out[name] = round(float(functions[name](*tensors, data_range=1.0)), 6)
    return out


def why_undefined(name: str, shape: tuple[int, ...]) -> str | None:
    """Say why a measure is not defined for a picture of this shape (H, W, ...), or return None if it is."""
    if min(shape[:2]) >= SHORTEST_SIDE[name]:
        return None
    return (
        f'{name} needs pictures of at least {SHORTEST_SIDE[name]} x {SHORTEST_SIDE[name]} pixels; '
        f'this one is {shape[1]} x {shape[0]}.'
    )


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let PyTorch use one thread, so that a number does not depend on the machine's cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _to_tensor(image: np.ndarray):
    import torch

    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().div_(255)[None]
