"""Statistics of a two-stage detector's response: pure functions of batched outputs."""

from __future__ import annotations

import torch

from .box_suppression import areas, overlaps
from .statistics import detection_statistics
from .two_stage import Response

SEEN = 0.3  # Detections with less do not count as seen: MMDetection's default for drawing a box, and that of the labels
_STEEP = 20.0  # Steepness of soft thresholds: bfloat16 and exported graphs agree on them, and no score flips them
_SAME = 0.5  # Overlap from which on two boxes speak of the same object


def box_statistics(response: Response, size: tuple[int, int], top: int) -> torch.Tensor:
    """Return how confident a two-stage detector is: float (B, :func:`count_of_box_statistics`).

    - The ``top`` largest scores of its detections in descending order, 0 where there are fewer.
    - Their mean over those that count as seen, which is what many take for the quality of a picture; their sum; the
      sum of all scores, and of those of the uncertain ones; how many have at least 0.3, 0.5 and 0.7.
    - Over the detections that count as seen, means of: the entropy of the classes in nats, the lead of the best class
      before the next, the first stage's score of the box; how many boxes the suppression took for the same object, the
      mean score of these, and how far they lie apart; the side of the box as a share of the picture's, and the share
      that others cover. And the least score of them.
    - The entropy of the shares of the classes, and the largest share.
    - What the first stage takes for an object and the second does not: the sum of the scores of proposals that no
      detection covers, and the largest of them.
    - :func:`~miqa.models.responses.statistics.detection_statistics` of the first stage's objectness.

    Args:
        response: of :func:`~miqa.models.responses.two_stage.respond`.
        size: height and width of the view in pixels.
        top: how many scores.
    """
    scores = response.scores
    weights = _seen(scores)
    total = weights.sum(1, keepdim=True)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (values * weights).sum(1, keepdim=True) / (total + 1e-3)

    largest = torch.nn.functional.pad(scores[:, :top], (0, max(0, top - scores.shape[1])))
    probabilities = response.probabilities
    entropy = -(probabilities * (probabilities + 1e-6).log()).sum(2)
    two = probabilities.topk(2, dim=2).values
    origin = response.proposal_scores.gather(1, response.origins)
    support, agreement, apart = _company(response)
    side = (areas(response.boxes) / (size[0] * size[1])).sqrt()
    among = overlaps(response.boxes, response.boxes) * weights[:, None, :]
    among = among * (1 - torch.eye(among.shape[1], device=among.device, dtype=among.dtype))
    parts = [
        largest,
        mean(scores),
        scores.sum(1, keepdim=True).log1p(),
        response.candidate_scores.sum(1, keepdim=True).log1p(),
        (scores * (1 - weights)).sum(1, keepdim=True),
        *(_seen(scores, level).sum(1, keepdim=True).log1p() for level in (SEEN, 0.5, 0.7)),
        *(mean(item) for item in (entropy, two[..., 0] - two[..., 1], origin, support, agreement, apart, side)),
        mean(among.amax(2)),
        1 - ((1 - scores) * weights).amax(1, keepdim=True),
        *_shares(response, weights),
        *_unexplained(response, weights),
        detection_statistics([level.sigmoid() for level in response.objectness], top),
    ]
    return torch.cat(parts, 1)


def count_of_box_statistics(top: int, levels: int) -> int:
    """Return how many numbers :func:`box_statistics` gives for a first stage of so many levels."""
    return top + 7 + 9 + 2 + 2 + top + 2 + 3 * levels


def agreement_statistics(first: Response, second: Response) -> torch.Tensor:
    """Return how far a detector agrees with itself about a picture that is shown again: float (B, 3).

    How well the detections that count as seen are found again (overlap with the best box of the class, weighted by the
    score that it has the second time), the same the other way round, and the change of the mean score. The boxes of the
    second response have been brought to the places of the first.
    """
    numbers = []
    for one, other in ((first, second), (second, first)):
        weights = _seen(one.scores)
        same = (one.labels[:, :, None] == other.labels[:, None, :]).to(weights.dtype)
        agreement = (overlaps(one.boxes, other.boxes) * same * other.scores[:, None, :]).amax(2)
        numbers.append((agreement * weights).sum(1, keepdim=True) / (weights.sum(1, keepdim=True) + 1e-3))
    return torch.cat([*numbers, _mean_score(second) - _mean_score(first)], 1)


def _mean_score(response: Response) -> torch.Tensor:
    weights = _seen(response.scores)
    return (response.scores * weights).sum(1, keepdim=True) / (weights.sum(1, keepdim=True) + 1e-3)


def _seen(scores: torch.Tensor, level: float = SEEN) -> torch.Tensor:
    """Return softly whether a score reaches a level: about 0 or 1, and 0 for no score."""
    return ((scores - level) * _STEEP).sigmoid() * (scores > 0).to(scores.dtype)


def _company(response: Response) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return for each detection how many boxes speak of the same object (log1p), their mean score, their distance."""
    overlap = overlaps(response.boxes, response.candidates)
    same = (response.labels[:, :, None] == response.candidate_labels[:, None, :]).to(overlap.dtype)
    close = ((overlap - _SAME) * _STEEP).sigmoid() * same
    scores = response.candidate_scores[:, None, :]
    close_and_present = close * (scores > 0).to(close.dtype)
    support = (close * scores).sum(2)
    agreement = support / (close_and_present.sum(2) + 1e-3)
    apart = (close * scores * (1 - overlap)).sum(2) / (support + 1e-3)
    return support.log1p(), agreement, apart


def _shares(response: Response, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the entropy of the shares of the classes among the detections, and the largest share."""
    same = (response.labels[:, :, None] == response.labels[:, None, :]).to(weights.dtype)
    # The share of each detection's class; the mean of its logarithm is the negative entropy of the shares.
    total = weights.sum(1, keepdim=True) + 1e-3
    share = (same * weights[:, None, :]).sum(2) / total
    entropy = -(weights * (share + 1e-6).log()).sum(1, keepdim=True) / total
    return entropy, (share * (weights > 0.5).to(weights.dtype)).amax(1, keepdim=True)


def _unexplained(response: Response, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum (log1p) and maximum of the scores of proposals that no detection covers."""
    covered = (overlaps(response.proposals, response.boxes) * weights[:, None, :]).amax(2)
    uncovered = response.proposal_scores * (1 - (2 * covered).clamp(max=1))
    return uncovered.sum(1, keepdim=True).log1p(), uncovered.amax(1, keepdim=True)
