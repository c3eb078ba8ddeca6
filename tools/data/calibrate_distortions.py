#!/usr/bin/env python
"""Set the levels of camera distortions by what they cost a classifier, so that level 3 of each costs about the same.

EfficientNet-Lite0 (packaged weights) runs on every photograph clean and at nine strengths between the present levels 1
and 5. What a strength costs is 1 minus the mean soft consistency (overlap of the probabilities with those of the clean
picture). The tool prints what the present levels cost, and, for ``STRENGTHS`` of the distortion, the parameters that
cost what all levels should; where even the strongest set costs less, the costs are scaled down to it.
"""

import argparse
import sys

import cv2
import numpy as np
import torch

from miqa.distortions import distort, strength_at
from miqa.distortions.sources import list_images
from miqa.labelling.classification import soft_consistency
from miqa.networks.packaged_weights import EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, efficientnet_lite
from miqa.pictures import read_image
from miqa.pictures.resizing import central_corner, cut_planes, resize_short_side
from miqa.running import generator_for
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import CAMERA_DISTORTIONS, DISTORTION_WORDS, LEVELS, distortions_named

EXAMPLES = """
examples
  python tools/data/calibrate_distortions.py photos/ --count 40
  python tools/data/calibrate_distortions.py photos/ --distortions haze low_light
"""

TARGETS = (0.1, 0.25, 0.4, 0.55, 0.7)  # What levels 1 to 5 should cost: 1 minus the mean soft consistency

POSITIONS = np.linspace(LEVELS[0], LEVELS[-1], 9)  # Strengths at which the cost is measured


def probabilities(network: torch.nn.Module, images: list[np.ndarray]) -> np.ndarray:
    """Return the classifier's outputs for the centres of pictures: float (N, 1000)."""
    resized = [resize_short_side(image, 256, 'bicubic') for image in images]
    views = [cut_planes(image, *central_corner(*image.shape[:2], 224), 224) for image in resized]
    answers = []
    with torch.inference_mode():
        for start in range(0, len(views), 8):
            pixels = torch.from_numpy(np.stack(views[start : start + 8])).float() / 255
            normalised = (pixels - EFFICIENTNET_LITE_MEAN[0]) / EFFICIENTNET_LITE_STD[0]
            answers.append(network(normalised.contiguous(memory_format=torch.channels_last)).softmax(1).numpy())
    return np.concatenate(answers)


def costs_of(name: str, images: list[np.ndarray], clean: np.ndarray, network: torch.nn.Module) -> np.ndarray:
    """Return what a distortion costs at each of :data:`POSITIONS`."""
    costs = []
    for level in POSITIONS:
        params = strength_at(name, float(level))
        damaged = [distort(image, name, params, generator_for(i, name)) for i, image in enumerate(images)]
        costs.append(1 - soft_consistency(probabilities(network, damaged), clean).mean())
    return np.array(costs)


def positions_for(costs: np.ndarray) -> np.ndarray:
    """Return the positions, 1 to 5, at which a distortion costs what levels should."""
    rising = np.maximum.accumulate(costs)
    targets = np.array(TARGETS) * min(1.0, rising[-1] / TARGETS[-1])
    return np.interp(targets, rising, POSITIONS)


def main() -> int:
    """Run the tool."""
    parser = ToolParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', help='folder of photographs')
    parser.add_argument('--count', type=int, default=40, help='photographs, evenly over the folder (default: 40)')
    parser.add_argument(
        '--distortions', nargs='+', default=list(CAMERA_DISTORTIONS), choices=DISTORTION_WORDS, metavar='NAME',
        help='default: all of the camera',
    )  # fmt: skip
    args = parser.parse_args()
    paths = list_images(args.photographs)
    images = [read_image(paths[i]) for i in np.linspace(0, len(paths) - 1, min(args.count, len(paths))).astype(int)]
    network = efficientnet_lite(0).to(memory_format=torch.channels_last)
    cv2.setNumThreads(1)
    clean = probabilities(network, images)
    for name in distortions_named(args.distortions):
        costs = costs_of(name, images, clean, network)
        print(f'{name}: levels cost {", ".join(f"{cost:.2f}" for cost in costs[::2])}')
        new = [strength_at(name, float(position)) for position in positions_for(costs)]
        print('   ', [{key: float(f'{value:.3g}') for key, value in params.items()} for params in new])
        sys.stdout.flush()
    return 0


if __name__ == '__main__':
    run_command(main)
