"""Statistics of a classifier's response: pure functions of logits and feature maps."""

from __future__ import annotations

import torch
from torch.nn import functional as F

_TINY = 1e-3  # Added to a channel's deviation before its logarithm: a channel that is off everywhere stays finite


def confidence_statistics(logits: torch.Tensor, top: int) -> torch.Tensor:
    """Return how sure a classifier is: float (B, 2 * top + 2) of logits (B, classes).

    The largest probabilities, their logarithms, the negative entropy in nats, and the logsumexp of the logits, which
    is the negative free energy of Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020.
    """
    logarithms = logits.log_softmax(1)
    largest = logarithms.topk(top, dim=1).values
    negative_entropy = (logarithms.exp() * logarithms).sum(1, keepdim=True)
    return torch.cat([largest.exp(), largest, negative_entropy, logits.logsumexp(1, keepdim=True)], 1)


def detection_statistics(scores: list[torch.Tensor], top: int) -> torch.Tensor:
    """Return how confident a dense detector is: float (B, top + 2 + 3 * levels).

    The ``top`` largest scores of all places in descending order, as logits; the expected number of places with an
    object and its logarithm; and for each level, whose stride is the size of its objects: the largest score, the sum
    of the scores, and the number of places above 0.3 (MMDetection's default for drawing a box). Nothing is suppressed
    here: neighbours of one object respond alike on clean and on damaged pictures, and a head can be trained on that.

    Args:
        scores: for each level float (B, places), the score of the best class in each place, in (0, 1).
        top: how many scores; levels must have at least so many places in all.
    """
    joined = torch.cat(scores, 1).clamp(1e-4, 1 - 1e-4)
    largest = joined.topk(top, dim=1).values
    expected = joined.sum(1, keepdim=True)
    parts = [largest.logit(), expected, expected.log1p()]
    for level in scores:
        parts += [
            level.amax(1, keepdim=True),
            level.sum(1, keepdim=True).log1p(),
            # A soft count: bfloat16 and exported graphs agree on it, and no score flips it.
            ((level - 0.3) * 20).sigmoid().sum(1, keepdim=True).log1p(),
        ]
    return torch.cat(parts, 1)


def map_statistics(maps: list[torch.Tensor]) -> torch.Tensor:
    """Return mean and logarithm of the deviation over space of every channel: float (B, 2 * channels of all maps).

    Early maps answer to edges, grain and blocks: their means and deviations say what kind of damage a picture has,
    and how much. The order is, map by map: means, then deviations.

    Args:
        maps: each float (B, C, h, w).
    """
    parts = []
    for values in maps:
        values = values.float()
        mean = values.mean((2, 3))
        deviation = (values.square().mean((2, 3)) - mean.square()).clamp(min=0).sqrt()
        parts += [mean, (deviation + _TINY).log()]
    return torch.cat(parts, 1)


def change_statistics(logits: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """Return how far an answer is from another to the same picture shown differently: float (B, 3).

    The overlap of the two probability vectors (:func:`miqa.labelling.soft_consistency` of one machine with itself),
    the probability that the other gives to the first one's class, and the change of the largest probability. Both
    answers are logits (B, classes).
    """
    first, second = logits.softmax(1), changed.softmax(1)
    best, place = first.max(1, keepdim=True)
    overlap = torch.minimum(first, second).sum(1, keepdim=True)
    return torch.cat([overlap, second.gather(1, place), second.amax(1, keepdim=True) - best], 1)


def mirrored(picture: torch.Tensor) -> torch.Tensor:
    """Return the picture (B, 3, H, W) with left and right exchanged."""
    return picture.flip(-1)


def halved(picture: torch.Tensor) -> torch.Tensor:
    """Return the picture (B, 3, H, W) at half its resolution, brought back to its size."""
    small = F.avg_pool2d(picture, 2)
    return F.interpolate(small, size=picture.shape[-2:], mode='bilinear', align_corners=False)


def recompressed(picture: torch.Tensor, step: float = 0.08) -> torch.Tensor:
    """Return the picture, normalised (B, 3, H, W), as a coarse transform coder would give it back.

    Each channel's blocks of 8 x 8 pass an orthonormal cosine transform, as in JPEG (ITU-T T.81, A.3.3), and its
    coefficients are rounded to multiples of ``step`` times 1 + u + v, coarser for finer detail. With values of unit
    deviation 0.08 is a slight compression. Rows and columns beyond the last whole block stay as they are.
    """
    height, width = (side - side % 8 for side in picture.shape[-2:])
    basis = _cosines(picture)
    blocks = picture[..., :height, :width].unflatten(-2, (height // 8, 8)).unflatten(-1, (width // 8, 8))
    # (B, 3, rows, 8, columns, 8): transform the two axes of 8.
    coefficients = torch.einsum('ui,bcrikj,vj->bcrukv', basis, blocks, basis)
    order = torch.arange(8, device=picture.device, dtype=picture.dtype)
    steps = step * (1 + order[:, None, None] + order[None, None, :])
    rounded = (coefficients / steps).round() * steps
    decoded = torch.einsum('ui,bcrukv,vj->bcrikj', basis, rounded, basis).flatten(4, 5).flatten(2, 3)
    if (height, width) == tuple(picture.shape[-2:]):
        return decoded
    result = picture.clone()
    result[..., :height, :width] = decoded
    return result


def _cosines(like: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal cosine transform of 8 values, (frequency, place)."""
    place = torch.arange(8, device=like.device, dtype=torch.float32)
    basis = torch.cos(torch.pi / 8 * (place[None, :] + 0.5) * place[:, None]) * 0.5
    basis[0] /= 2**0.5
    return basis.to(like.dtype)


#: How a probe may be shown a picture a second time.
CHANGES = {'mirror': mirrored, 'half': halved, 'recompress': recompressed}
