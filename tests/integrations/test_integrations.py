"""Scores where people look at pictures: frames, Hugging Face datasets, FiftyOne."""

import sys
import types

import numpy as np
import pytest
from helpers_pictures import file_of
from helpers_refusals import refused
from PIL import Image

from miqa.apis import MIQAModel
from miqa.apis.gate_fit import Gate
from miqa.integrations import FrameFilter, add_scores, assess_samples


@pytest.fixture(scope='module')
def model(vit_file):
    return MIQAModel(weights=vit_file, device='cpu', batch_size=4)


@pytest.fixture(scope='module')
def frames():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (90 + number, 120, 3), dtype=np.uint8) // (1 + number) for number in range(7)]


@pytest.mark.parametrize('batch_size', [1, 3])
def test_a_frame_filter_yields_the_frames_above_its_threshold_in_order(model, frames, batch_size):
    scores = model.assess(frames)
    middle = float(np.mean(sorted(scores)[2:4]))  # between two scores: batches differ in the last digit
    keep = FrameFilter(model, threshold=middle, batch_size=batch_size)
    result = list(keep.scored(iter(frames)))
    expected = [frame for frame, score in zip(frames, scores, strict=True) if score >= middle]
    assert all(one is frame for (one, _), frame in zip(result, expected, strict=True))
    assert [score for _, score in result] == pytest.approx([s for s in scores if s >= middle], abs=1e-5)
    assert (keep.seen, keep.passed) == (7, len(expected))


def test_a_frame_filter_takes_supervisions_frames(model, frames, tmp_path):
    supervision = pytest.importorskip('supervision')
    path = str(tmp_path / 'x.mp4')
    info = supervision.VideoInfo(width=120, height=96, fps=5, total_frames=4)
    with supervision.VideoSink(path, info) as sink:
        for frame in frames[:4]:
            sink.write_frame(np.ascontiguousarray(np.resize(frame, (96, 120, 3))))
    keep = FrameFilter(model, threshold=-100.0)
    assert len(list(keep(supervision.get_video_frames_generator(path)))) == 4 == keep.passed


def test_a_frame_filter_refuses_the_gate_of_another_model(model, tmp_path):
    gate = Gate(0.5, 0.9, None, 0.95, 0.5, 0.95, 0.1, 100, 100, 'other@1')
    refused(ValueError, 'scores of the model other@1', FrameFilter, model, gate=gate.save(tmp_path / 'gate.json'))
    refused(ValueError, 'either a gate or a threshold', FrameFilter, model)


def test_a_dataset_gets_the_scores_of_the_model_and_an_error_for_a_broken_picture(model, frames, tmp_path):
    datasets = pytest.importorskip('datasets')
    cells = [{'bytes': file_of(frame, 'PNG'), 'path': None} for frame in frames[:3]]
    cells.append({'bytes': b'no picture', 'path': None})
    made = datasets.Dataset.from_dict(
        {'image': cells, 'id': list('abcd')},
        features=datasets.Features({'image': datasets.Image(), 'id': datasets.Value('string')}),
    )
    scored = add_scores(made, model, batch_size=3)
    assert scored.features['image'] == made.features['image'] and scored['id'] == list('abcd')
    # Arrays are BGR here, files RGB.
    assert scored['miqa_score'][:3] == pytest.approx([model.assess(cell['bytes']) for cell in cells[:3]], abs=1e-5)
    assert scored['miqa_score'][3] is None and 'picture' in scored['miqa_error'][3]
    assert scored['miqa_error'][:3] == [None] * 3
    refused(ValueError, 'has the columns miqa_error', add_scores, scored, model)
    refused(ValueError, "no column 'photo'", add_scores, made, model, column='photo')


class Samples:
    """As much of a FiftyOne dataset as is used, in memory: FiftyOne's own needs a MongoDB server."""

    def __init__(self, paths):
        self.rows = {f'id{number}': {'filepath': str(path)} for number, path in enumerate(paths)}

    def has_field(self, field):
        return any(field in row for row in self.rows.values())

    def values(self, fields):
        if isinstance(fields, str):
            return [row.get(fields) for row in self.rows.values()]
        columns = {'id': list(self.rows), 'filepath': self.values('filepath')}
        return [columns[field] for field in fields]

    def set_values(self, field, values, key_field):
        assert key_field == 'id'
        for name, value in values.items():
            self.rows[name][field] = value


@pytest.mark.parametrize('real', [False, True], ids=['stand-in', 'FiftyOne'])
def test_samples_get_scores_words_errors_and_heat_maps_and_those_that_have_them_are_kept(
    model, frames, tmp_path, monkeypatch, real
):
    paths = [tmp_path / 'a.png', tmp_path / 'broken.png', tmp_path / 'c.png']
    for path, frame in zip(paths, frames, strict=False):
        Image.fromarray(frame).save(path)
    paths[1].write_bytes(b'no picture')
    if real:
        fiftyone = pytest.importorskip('fiftyone')
        try:
            samples = fiftyone.Dataset(persistent=False)
        except fiftyone.core.config.FiftyOneConfigError as error:
            pytest.skip(f'FiftyOne has no database here: {error}')
        samples.add_samples([fiftyone.Sample(filepath=str(path)) for path in paths])
    else:
        monkeypatch.setitem(sys.modules, 'fiftyone', types.SimpleNamespace(Heatmap=lambda **options: options))
        samples = Samples(paths)
    assert assess_samples(samples, model, heatmap=True, progress=False) == {'scored': 2, 'failed': 1, 'kept': 0}
    first, broken, last = samples if real else samples.rows.values()
    for row, path in ((first, paths[0]), (last, paths[2])):
        assert row['miqa'] == pytest.approx(model.assess(path), abs=1e-5)
        assert row['miqa_quality'] == model.quality(row['miqa'])
        values = model.assess(path, heatmap=True).values
        np.testing.assert_allclose(row['miqa_heatmap']['map'], values, atol=1e-4)
        assert row['miqa_heatmap']['range'][1] == pytest.approx(np.abs(values).max(), abs=1e-4)
    assert (broken['miqa'] is None if real else 'miqa' not in broken) and 'broken.png' in broken['miqa_error']
    assert assess_samples(samples, model, progress=False) == {'scored': 0, 'failed': 1, 'kept': 2}
    assert assess_samples(samples, model, overwrite=True, progress=False) == {'scored': 2, 'failed': 1, 'kept': 0}
