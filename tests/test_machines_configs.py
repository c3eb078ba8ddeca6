"""Every system that a config lists exists under that name, with the published accuracy as weight."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import timm

from miqa.machines import build_machine, load_machine_configs, machine_name

FOLDER = Path(__file__).parents[1] / 'configs/machines'
CONFIGS = sorted(FOLDER.glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_lists_systems_of_its_task_with_positive_weights(path):
    systems = load_machine_configs(path)
    assert all(system['weight'] > 0 for system in systems)
    assert all(system.get('task', 'cls') == path.stem.split('_')[0] for system in systems)


def test_the_lists_have_as_many_systems_as_the_papers():
    assert [len(load_machine_configs(FOLDER / f'{task}_paper.py')) for task in ('cls', 'det', 'ins')] == [40, 20, 15]


def test_every_classifier_has_pretrained_weights_in_timm():
    known = set(timm.list_pretrained())
    names = [system['model'] for system in load_machine_configs(FOLDER / 'cls_paper.py')]
    assert [name for name in names if name not in known] == []
    assert {name.split('.')[0] for name in names} <= set(timm.list_models())


@pytest.mark.machines
@pytest.mark.skipif(find_spec('mmdet') is None, reason='MMDetection is missing: bash tools/install_machines.sh')
@pytest.mark.parametrize(('config', 'metric'), [('det', 'box_ap'), ('ins', 'mask_ap')])
def test_every_detector_is_in_the_zoo_with_weights_and_the_published_ap(config, metric):
    from miqa.machines.mmdet_zoo import zoo_model

    for name in (f'{config}_paper.py', f'{config}_rtmdet_tiny.py'):
        for system in load_machine_configs(FOLDER / name):
            model = zoo_model(system['config'])
            assert model.config.is_file() and model.weights.startswith('https://')
            assert system['weight'] == getattr(model, metric)


def test_the_packaged_classifiers_are_built_from_their_config():
    (config, *_) = load_machine_configs(FOLDER / 'cls_efficientnet_lite.py', ['tf_efficientnet_lite0'])
    machine = build_machine(config)
    assert (machine.name, machine.task, machine.weight) == (machine_name(config), 'cls', 74.83)


def test_what_is_wrong_with_a_config_is_said(tmp_path):
    path = tmp_path / 'c.py'
    with pytest.raises(FileNotFoundError, match=r'c\.py'):
        load_machine_configs(path)
    path.write_text('x = 1')
    with pytest.raises(ValueError, match='must define machines'):
        load_machine_configs(path)
    path.write_text("machines = [dict(type='T', model='a'), dict(type='T', model='a')]")
    with pytest.raises(ValueError, match='lists a twice'):
        load_machine_configs(path)
    path.write_text("machines = [dict(type='T', model='a')]")
    with pytest.raises(ValueError, match='no system b. It has: a'):
        load_machine_configs(path, ['b'])
