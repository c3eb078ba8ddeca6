"""Small networks of Ultralytics with random weights, in files."""

from __future__ import annotations

from pathlib import Path

import torch

DESCRIPTIONS = {'det': 'yolov8n.yaml', 'ins': 'yolov8n-seg.yaml', 'cls': 'yolov8n-cls.yaml'}


def write_yolo(path: Path, task: str) -> Path:
    """Write a network for ``task``; its answers differ by place and class, as those of fresh weights hardly do."""
    import ultralytics

    torch.manual_seed(0)
    model = ultralytics.YOLO(DESCRIPTIONS[task], verbose=False)
    if task != 'cls':
        for branch in model.model.model[-1].cv3:
            torch.nn.init.normal_(branch[-1].weight, std=0.5)
            torch.nn.init.normal_(branch[-1].bias, std=0.5)
    model.save(path)
    return path
