"""From the database to a trained network: heads on the response of a network that stays as it is."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from network import BoxNetwork, loss_of, quality_loss
from torch import nn
from tqdm.auto import tqdm

from miqa.keeping import atomic_write

#: Rate of learning of the quality heads, at its highest.
_RATE = 3e-3


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


def responses(network: BoxNetwork, views, path: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return responses float32 (N, C) and logits float16 (N, 1000) to views, a sequence of uint8 (side, side, 3).

    They are kept in ``path``. ONNX Runtime computes them, several times as fast as PyTorch on one core.
    """
    if not path.exists():
        run = response_session(network, side, path.with_suffix('.onnx'))
        parts = []
        for start in tqdm(range(0, len(views), 8), desc='responses', unit='batch', mininterval=5):
            batch = np.stack([views[row] for row in range(start, min(start + 8, len(views)))])
            pixels = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
            response, logits = run(pixels)
            parts.append((response, logits.astype(np.float16)))
        response, logits = (np.concatenate(column) for column in zip(*parts, strict=True))
        with atomic_write(path) as temporary, open(temporary, 'wb') as stream:
            np.savez(stream, responses=response, logits=logits)
    with np.load(path) as kept:
        return kept['responses'], kept['logits']


def response_session(network: BoxNetwork, side: int, path: Path):
    """Return what computes (response, logits) from uint8 pixels (B, 3, side, side) by ONNX Runtime."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            _Responses(network).eval(),
            (torch.zeros(2, 3, side, side, dtype=torch.uint8),),
            str(path),
            input_names=['pixels'],
            dynamic_axes={'pixels': {0: 'batch'}},
            opset_version=18,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    return lambda pixels: session.run(None, {'pixels': pixels})


def train_heads(
    network: BoxNetwork, features: np.ndarray, labels: dict[str, torch.Tensor], seed: int, epochs: int = 12
) -> None:
    """Train the heads alone on responses of the frozen trunk."""
    torch.manual_seed(seed)
    values = torch.from_numpy(features)
    network.mean.copy_(values.mean(0))
    network.scale.copy_(1 / (values.std(0) + 1e-3))
    heads = [parameter for name, parameter in network.named_parameters() if not name.startswith('trunk.')]
    optimizer = torch.optim.AdamW(heads, lr=1e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * math.ceil(len(values) / 128), 0
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(values), generator=generator).split(128):
            for group in optimizer.param_groups:
                group['lr'] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
            raw = network.heads(values[rows], dropout=0.4)
            loss = loss_of(raw, {name: label[rows] for name, label in labels.items()})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    network.eval()


def train_quality(
    network: BoxNetwork, features: np.ndarray, labels: torch.Tensor, photographs: np.ndarray, seed: int, epochs: int = 8
) -> None:
    """Fit the projection and train what reads consistency and accuracy from it.

    Args:
        network: is filled.
        features: responses, (N, C).
        labels: consistency and accuracy, (N, 2) in [0, 1], NaN where unknown.
        photographs: number of the photograph of each response, (N,).
        seed: of order and dropout.
        epochs: over all responses.
    """
    torch.manual_seed(seed)
    responses = torch.from_numpy(features[:, : network.confidence + network.early])
    _, sources = np.unique(photographs, return_inverse=True)
    network.projection.fit(responses, torch.from_numpy(sources))
    inputs = network.projection(responses)
    parameters = [network.first, network.first_bias, network.second, network.second_bias, network.sure]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * math.ceil(len(inputs) / 256), 0
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(256):
            for group in optimizer.param_groups:
                group['lr'] = _RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            outputs = network.quality(inputs[rows], dropout=0.2)
            loss = quality_loss(outputs, labels[rows].expand(len(outputs), -1, -1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    network.eval()
