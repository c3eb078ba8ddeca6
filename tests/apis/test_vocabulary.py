"""One word for one thing, in Python and on the command line."""

import inspect
import json

import pytest
from helpers_apis import photo, write_photos, write_run
from helpers_refusals import refused

import machine_iqa
from machine_iqa import MIQAError, MIQAModel, RealTimeIQA, VideoMIQA, batch_assess
from miqa.cli.main import main
from miqa.pictures import read_image


@pytest.fixture
def weights(ra_miqa_file):
    return ra_miqa_file


def test_a_model_is_a_path_wherever_it_may_be_a_name(weights):
    expected = MIQAModel(weights=weights).assess(photo())
    for model in (weights, str(weights)):
        assert MIQAModel(model).assess(photo()) == expected
        assert batch_assess([photo()], model) == [expected]
        assert RealTimeIQA(model).assess_frame(photo()) == expected
        assert VideoMIQA(model).model.assess(photo()) == expected


def test_a_model_is_an_object_wherever_it_may_be_a_name(weights):
    model = MIQAModel(weights)
    second = MIQAModel(model, thresholds=(0.9, 0.1), batch_size=3)
    assert second.runtime is model.runtime and second.thresholds.high == 0.9 and second.batch_size == 3
    assert batch_assess([photo()], model) == [model.assess(photo())]
    assert RealTimeIQA(model).model is model and VideoMIQA(model).model is model
    assert VideoMIQA(model=model).model is model

    class Scorer:
        def assess(self, images):
            return [0.25 for _ in images]

    assert batch_assess([photo()], Scorer()) == [0.25]
    assert RealTimeIQA(Scorer()).assess_frame(photo()) == 0.25


def test_options_for_an_object_that_cannot_take_them_are_refused(weights):
    model = MIQAModel(weights)
    refused(ValueError, 'precision cannot be changed for a loaded model', MIQAModel, model, precision='bf16')
    refused(ValueError, 'task, thresholds: unknown, or cannot be', VideoMIQA, model, task='det', thresholds=(0.9, 0.1))
    refused(TypeError, 'not a int', RealTimeIQA, 7)


@pytest.mark.parametrize('build', [MIQAModel, VideoMIQA, RealTimeIQA])
def test_the_first_argument_is_the_model_and_it_has_no_second_name(build):
    assert list(inspect.signature(build).parameters)[0] == 'model'
    refused(TypeError, 'model_name', build, model_name='ra-miqa')


def test_a_name_and_a_path_agree_or_are_refused(weights, tmp_path):
    assert MIQAModel('ra-miqa', weights=weights).spec.method == 'ra_miqa'
    refused(ValueError, 'Two weights files are named', MIQAModel, weights, weights=weights)
    refused(FileNotFoundError, r'no weights file .*gone\.pth', MIQAModel, tmp_path / 'gone.pth')
    refused(FileNotFoundError, r'no weights file gone\.pth', MIQAModel, 'gone.pth')
    refused(ValueError, 'or name a weights file', MIQAModel, 'nonsense')


def test_a_known_name_stays_a_name_beside_a_file_that_is_called_so(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    write_run(tmp_path / 'demo')
    refused(machine_iqa.WeightsUnavailable, 'quickstart', MIQAModel, 'demo')


def test_a_folder_that_save_pretrained_wrote_is_a_model(weights, tmp_path):
    model = MIQAModel(weights, thresholds=(0.8, 0.4))
    folder = model.save_pretrained(tmp_path / 'saved')
    second = MIQAModel(folder)
    assert second.assess(photo()) == model.assess(photo()) and tuple(second.thresholds) == (0.8, 0.4)
    assert MIQAModel(folder, thresholds=(0.7, 0.3)).thresholds.high == 0.7


def test_model_options_reach_videos_and_cameras(weights):
    for scorer in (VideoMIQA(weights, thresholds=(0.9, 0.1), workers=1), RealTimeIQA(weights, thresholds=(0.9, 0.1))):
        assert scorer.model.thresholds == (0.9, 0.1)
    assert VideoMIQA(weights, batch_size=3).model.batch_size == 3
    assert VideoMIQA(weights, workers=1, compile='eager').model.workers == 1
    refused(TypeError, 'tresholds', VideoMIQA, weights, tresholds=(0.9, 0.1))


@pytest.mark.parametrize('option', ['--model', '--weights', '-m', '-w'])
def test_every_spelling_of_the_model_gives_the_same_score_on_the_command_line(option, weights, tmp_path, capsys):
    (path,) = write_photos(tmp_path, 1)
    main(['image', path, option, str(weights), '--json', '--quiet'])
    assert json.loads(capsys.readouterr().out)['score'] == pytest.approx(MIQAModel(weights).assess(path), abs=1e-6)


def test_every_error_that_a_user_may_catch_shares_one_base_and_keeps_its_older_one():
    errors = {
        'CameraLost': ConnectionError, 'CheckpointError': ValueError, 'DatabaseError': ValueError,
        'DownloadError': OSError, 'MissingPackage': ImportError, 'UnreadableImage': ValueError,
        'UnreadableVideo': ValueError, 'VideoNotWritten': OSError, 'WeightsUnavailable': OSError,
    }  # fmt: skip
    for name, older in errors.items():
        error = getattr(machine_iqa, name)
        assert issubclass(error, MIQAError) and issubclass(error, older), name
        assert str(error('What is wrong.')) == 'What is wrong.'
    refused(MIQAError, 'damaged|not an image', read_image, b'nothing')
