"""Models that several files of tests score with, written and exported once."""

import contextlib

import pytest
from helpers_apis import export_once

from machine_iqa import MIQAModel


@pytest.fixture(scope='session')
def exported(tmp_path_factory, ra_miqa_file):
    """The tiny RA-MIQA, and its exported files by suffix; none of OpenVINO where that is missing."""
    pytest.importorskip('onnxruntime', reason="needs the extra 'export'")
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    model, folder = MIQAModel(ra_miqa_file), tmp_path_factory.mktemp('exported')
    files = {}
    with export_once(), contextlib.suppress(ImportError):
        for suffix in ('.onnx', '.xml'):
            files[suffix] = model.export(folder / f'model{suffix}')
    return model, files
