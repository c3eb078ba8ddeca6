"""From the database to a trained network: heads on the response of a network that stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from classifiers import export_onnx, open_session
from network import BoxNetwork, Reader, loss_of, quality_loss
from torch import nn
from tqdm.auto import tqdm

from miqa.keeping import atomic_write


def labels_of(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the labels of rows: see :func:`network.loss_of`."""
    quality = np.stack([arrays['consistency'][rows].mean(1), arrays['accuracy'][rows].mean(1)], 1)
    return {
        'quality': torch.from_numpy(quality.astype(np.float32)),
        'damage': torch.from_numpy(np.asarray(arrays['kinds'][rows], np.float32)),
        'strength': torch.from_numpy(np.asarray(arrays['strength'][rows], np.float32)),
        'place': torch.from_numpy(np.asarray(arrays['place'][rows], np.int64)),
    }


class _Responses(nn.Module):
    """The response and the logits of a network, for export."""

    def __init__(self, network: BoxNetwork):
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return response (B, C) and logits (B, 1000)."""
        return self.network.response(pixels)


def responses(network: BoxNetwork, views: Sequence[np.ndarray], path: Path, side: int) -> np.ndarray:
    """Return responses float32 (N, C) to views, uint8 (side, side, 3), kept in ``path``, a file of NumPy.

    ONNX Runtime computes them, several times as fast as PyTorch on one core.
    """
    if not path.exists():
        pixels = torch.zeros(2, 3, side, side, dtype=torch.uint8)
        export_onnx(_Responses(network).eval(), pixels, path.with_suffix('.onnx'), 'pixels')
        session, parts = open_session(path.with_suffix('.onnx')), []
        for start in tqdm(range(0, len(views), 8), desc='responses', unit='batch', mininterval=5):
            batch = np.ascontiguousarray(np.asarray(views[start : start + 8]).transpose(0, 3, 1, 2))
            parts.append(session.run(None, {'pixels': batch})[0])
        with atomic_write(path) as temporary, open(temporary, 'wb') as stream:
            np.save(stream, np.concatenate(parts))
    return np.load(path)


def _train(
    network: nn.Module, parameters: list[nn.Parameter], loss_of_rows: Callable[[torch.Tensor], torch.Tensor],
    count: int, batch: int, epochs: int, seed: int, rate: float, decay: float,
) -> None:  # fmt: skip
    """Train parameters by AdamW on batches of ``count`` rows in a random order; the rate falls along a cosine."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * math.ceil(count / batch), 0
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(count, generator=generator).split(batch):
            for group in optimizer.param_groups:
                group['lr'] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = loss_of_rows(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    network.eval()


def train_heads(
    network: BoxNetwork, features: np.ndarray, labels: dict[str, torch.Tensor], seed: int, epochs: int = 12
) -> None:
    """Train the heads alone on responses of the frozen trunk."""
    torch.manual_seed(seed)
    values = torch.from_numpy(features)
    network.mean.copy_(values.mean(0))
    network.scale.copy_(1 / (values.std(0) + 1e-3))
    heads = [parameter for name, parameter in network.named_parameters() if not name.startswith('trunk.')]

    def loss(rows: torch.Tensor) -> torch.Tensor:
        raw = network.heads(values[rows], dropout=0.4)
        return loss_of(raw, {name: label[rows] for name, label in labels.items()})

    _train(network, heads, loss, len(values), 128, epochs, seed, rate=1e-3, decay=0.05)


def train_reader(
    reader: Reader, features: np.ndarray, labels: torch.Tensor, photographs: np.ndarray, seed: int, epochs: int = 8
) -> None:
    """Fit the projection of a reader and train what reads consistency and accuracy from it.

    Args:
        reader: is filled.
        features: responses, (N, C).
        labels: consistency and accuracy, (N, 2) in [0, 1], NaN where unknown.
        photographs: number of the photograph of each response, (N,).
        seed: of order and dropout.
        epochs: over all responses.
    """
    torch.manual_seed(seed)
    responses = torch.from_numpy(features[:, : reader.length])
    _, sources = np.unique(photographs, return_inverse=True)
    reader.projection.fit(responses, torch.from_numpy(sources))
    inputs = reader.projection(responses)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        outputs = reader(inputs[rows], dropout=0.2)
        return quality_loss(outputs, labels[rows].expand(len(outputs), -1, -1))

    _train(reader, list(reader.parameters()), loss, len(inputs), 256, epochs, seed, rate=3e-3, decay=0.01)
