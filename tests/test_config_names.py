"""Old names of configs give what the new ones give."""

from pathlib import Path

import pytest
from mmengine.config import Config

MINI = Path(__file__).parents[1] / 'configs' / 'mini'


@pytest.mark.parametrize(
    ('old', 'new', 'network'),
    [
        ('cnn_cls', 'confidence_cnn_cls', {'type': 'ConfidenceRegressor', 'size': 0}),
        ('cnn_det', 'plain_cnn_det', {'type': 'PackagedRegressor', 'size': 0}),
    ],
)
def test_an_old_config_is_the_new_one(old, new, network):
    before, now = (Config.fromfile(MINI / f'{name}.py')._cfg_dict.to_dict() for name in (old, new))
    assert before == now
    assert now['model']['network'] == network
