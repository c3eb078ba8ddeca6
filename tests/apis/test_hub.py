"""The Hugging Face Hub, in place of which a folder on this machine stands."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from helpers_apis import CNN, photo, write_ra_miqa, write_run
from helpers_refusals import refused
from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open

from machine_iqa import MIQAModel
from miqa.apis.zoo import hub
from miqa.models import CheckpointError, WeightsUnavailable


@pytest.fixture
def model(ra_miqa_file):
    return MIQAModel(weights=ra_miqa_file, thresholds=(0.8, 0.4))


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A hub of one repository, ``user/repo``."""
    place = tmp_path / 'remote'

    class Api:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repo_id, private, repo_type, exist_ok):
            assert (repo_id, repo_type, exist_ok) == ('user/repo', 'model', True)
            place.mkdir(exist_ok=True)

        def file_exists(self, repo_id, name):
            return (place / name).exists()

        def upload_folder(self, repo_id, folder_path, commit_message, ignore_patterns):
            ignore = shutil.ignore_patterns(*(ignore_patterns or ()))
            shutil.copytree(folder_path, place, dirs_exist_ok=True, ignore=ignore)
            return SimpleNamespace(commit_url=f'https://hub/{repo_id}/commit/1')

    def snapshot_download(repo_id, revision, token, allow_patterns):
        if repo_id != 'user/repo' or not place.is_dir():
            raise OSError(f'Repository Not Found: {repo_id}.')
        return str(place)

    monkeypatch.setattr(hub, 'HfApi', Api)
    monkeypatch.setattr(hub, 'snapshot_download', snapshot_download)
    return place


def test_what_is_pushed_is_what_comes_back(model, remote):
    assert model.push_to_hub('user/repo') == 'https://hub/user/repo/commit/1'
    assert sorted(path.name for path in remote.iterdir()) == ['README.md', 'config.json', 'model.safetensors']
    back = MIQAModel.from_pretrained('user/repo', batch_size=3)
    assert back.assess(photo()) == model.assess(photo())
    assert back.spec == model.spec
    assert tuple(back.thresholds) == (0.8, 0.4) and back.batch_size == 3
    with safe_open(remote / 'model.safetensors', 'pt') as stored:
        assert set(stored.keys()) == {f'network.{key}' for key in model.runtime.module.network.state_dict()}


def test_other_weights_in_one_folder_are_another_model(model, remote, tmp_path):
    model.push_to_hub('user/repo')
    first = MIQAModel.from_pretrained('user/repo').identity
    write_ra_miqa(tmp_path / 'other.pth', seed=1)
    MIQAModel(tmp_path / 'other.pth').push_to_hub('user/repo')
    assert 'user/repo' not in first != MIQAModel(remote).identity
    assert MIQAModel.from_pretrained('user/repo').identity == MIQAModel(remote).identity


def test_a_convolutional_network_in_another_layout_is_stored_too(tmp_path):
    write_run(tmp_path / 'best.pth', CNN)
    model = MIQAModel(weights=tmp_path / 'best.pth')
    assert model.runtime.channels_last
    back = MIQAModel.from_pretrained(model.save_pretrained(tmp_path / 'saved'))
    assert back.assess(photo()) == pytest.approx(model.assess(photo()), abs=1e-6)


def test_the_card_says_what_the_scores_mean(model, tmp_path):
    folder = model.save_pretrained(tmp_path / 'saved')
    card = (folder / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: miqa\n')
    for words in ('RA-MIQA', 'object detection', 'higher is better', 'det, accuracy', 'image 32x32, region 48x48'):
        assert words in card
    assert 'SRCC 0.7448' in card and 'must be tested anew' in card


def test_a_card_that_somebody_edited_stays(model, remote, tmp_path):
    model.push_to_hub('user/repo')
    (remote / 'README.md').write_text('Mine.')
    model.push_to_hub('user/repo')
    assert (remote / 'README.md').read_text() == 'Mine.'


def test_what_is_not_there_is_reported_with_a_way_out(model, remote, monkeypatch):
    with pytest.raises(WeightsUnavailable, match='Cannot fetch user/other .* Repository Not Found'):
        MIQAModel.from_pretrained('user/other')

    def refuse(self, *_, **__):
        response = SimpleNamespace(headers={}, status_code=403, request=None)
        raise HfHubHTTPError('403 Forbidden', response=response)

    monkeypatch.setattr(hub.HfApi, 'create_repo', refuse)
    refused(WeightsUnavailable, 'Cannot upload to user/repo .* 403', model.push_to_hub, 'user/repo')


def test_files_that_are_not_a_model_of_this_project_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = model.save_pretrained(tmp_path / 'saved')
    config = json.loads((folder / 'config.json').read_text())

    def config_refused(changes, words):
        (folder / 'config.json').write_text(json.dumps(changes))
        refused(ValueError, words, MIQAModel.from_pretrained, folder)

    evil = json.loads(json.dumps(config))
    evil['spec']['network']['base'] = {'type': 'os.mkdir', 'path': 'OWNED'}
    config_refused(evil, "'os.mkdir', which is not a network")
    assert not (tmp_path / 'OWNED').exists()
    config_refused({'architectures': ['Bert']}, 'is not that of a quality model')
    config_refused({**config, 'spec': {'method': 'x'}}, 'does not describe a quality model')
    config_refused({**config, 'thresholds': {'high': 0.1, 'medium': 0.9}}, 'must not be below')
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'model.safetensors').write_bytes((folder / 'model.safetensors').read_bytes()[:200])
    refused(CheckpointError, 'is damaged', MIQAModel.from_pretrained, folder)
    (folder / 'model.safetensors').unlink()
    torch.save({}, folder / 'pytorch_model.bin')
    refused(CheckpointError, r'has no model\.safetensors', MIQAModel.from_pretrained, folder)
