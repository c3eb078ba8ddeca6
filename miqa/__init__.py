"""MIQA: how well will machine vision models do on this image?"""

import os
import sys

__version__ = '0.3.0'

# What packages send to their makers, ask the network for or write beside it, at import or at first use. They read these
# variables then, so they are set here, before any of them is imported.
for _name, _value in {
    'ORT_DISABLE_TELEMETRY': '1',
    'HF_HUB_DISABLE_TELEMETRY': '1',
    'NO_ALBUMENTATIONS_UPDATE': '1',
    'RAY_USAGE_STATS_ENABLED': '0',
    'YOLO_AUTOINSTALL': 'false',
    'YOLO_OFFLINE': 'true',
    'FIFTYONE_DO_NOT_TRACK': 'true',
}.items():
    os.environ.setdefault(_name, _value)
del _name, _value
# OpenVINO and NNCF report each import and conversion by this package; where it cannot be imported, they do without.
sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
