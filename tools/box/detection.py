"""The part of the network that scores for detectors: fitted on annotated scenes, judged on half of them."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from judging import judge_scenes
from network import BoxNetwork, quality_loss
from photographs import SPLITS
from torch import nn

#: Weight of the squared coefficients beside the sum of the losses, see :data:`network.SHARES`.
DECAY = 4000.0


def fit_and_judge(
    network: BoxNetwork, features: np.ndarray, outputs: dict[str, np.ndarray], columns: dict[str, np.ndarray]
) -> dict[str, dict]:
    """Fit on the half of the scenes that trains, judge on the other, then fit on all; return the results.

    Args:
        network: whose other parts are trained; is completed.
        features: responses to all versions of all scenes, (N, C).
        outputs: of the exported network for them; of its ``features``, ``consistency`` and ``accuracy``.
        columns: of the database of scenes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # versions without any label
        labels = np.stack([np.nanmean(columns[name], axis=1) for name in ('consistency', 'accuracy')], 1)
    quality = torch.from_numpy(np.stack([outputs['consistency'], outputs['accuracy']], 1)).logit()
    known = [torch.from_numpy(features), torch.from_numpy(outputs['features']), quality]
    wanted = torch.from_numpy(labels.astype(np.float32))
    half = torch.from_numpy(columns['split'] == SPLITS.index('train'))
    fit(network, [part[half] for part in known], wanted[half])
    with torch.no_grad():
        predicted = network.for_detectors(network.detection_inputs(*known)).sigmoid().numpy()
    scored = {**outputs, 'det_consistency': predicted[:, 0], 'det_accuracy': predicted[:, 1]}
    scored['det_composite'] = predicted.mean(1)
    results = {}
    for title, families in (('', (0, 1, 2)), ('_miqd', (0, 1)), ('_camera', (0, 2))):
        rows = ~half.numpy() & np.isin(columns['family'], families)
        results[f'scenes_never_seen{title}'] = judge_scenes(
            {name: column[rows] for name, column in columns.items()},
            {name: column[rows] for name, column in scored.items()},
        )
    fit(network, known, wanted)
    return results


def fit(network: BoxNetwork, known: list[torch.Tensor], labels: torch.Tensor) -> None:
    """Fit what detectors keep and find, (N, 2) in [0, 1], NaN where unknown, to all outputs of the network for scenes.

    ``known``: as for :meth:`network.BoxNetwork.detection_inputs`.
    """
    every = torch.cat(known, 1)
    network.detection_mean.copy_(every.mean(0))
    network.detection_scale.copy_(1 / (every.std(0) + 1e-3))
    inputs, linear = network.detection_inputs(*known), network.for_detectors
    nn.init.zeros_(linear.weight)
    linear.bias.data = labels.nanmean(0).logit()
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn='strong_wolfe')
    count = int((~labels.isnan()).sum())

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = quality_loss(linear(inputs), labels) + DECAY / 2 * linear.weight.square().sum() / count
        value.backward()
        return value

    optimizer.step(loss)
