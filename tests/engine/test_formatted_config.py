"""The text of a config is made once, and anew where a value changes."""

import copy

import pytest
import yapf.yapflib.yapf_api as yapf_api
from mmengine.config import Config

from miqa.engine.formatted_config import FormattedOnce


@pytest.fixture
def calls(monkeypatch):
    """Count how often MMEngine formats a config."""
    made, formatted = [], yapf_api.FormatCode
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda *args, **options: made.append(1) or formatted(*args, **options))
    return made


def test_the_text_is_mmengines_and_made_once(calls):
    plain = Config(dict(a=1, model=dict(type='Net', sizes=(1, 2)), words=['x', 'y']))
    config = FormattedOnce.of(plain)
    assert [config.pretty_text for _ in range(5)] == [plain.pretty_text] * 5
    assert len(calls) == 2


def test_a_changed_value_changes_the_text(calls):
    config = FormattedOnce.of(Config(dict(a=1, model=dict(type='Net', depth=2))))
    before = config.pretty_text
    config.model.depth = 3
    config.merge_from_dict({'b': 4})
    assert before != config.pretty_text == Config(dict(a=1, model=dict(type='Net', depth=3), b=4)).pretty_text
    config.pop('b')
    assert 'b' not in config.pretty_text and 'depth=3' in config.pretty_text


def test_a_copy_has_its_own_text():
    config = FormattedOnce.of(Config(dict(a=1)))
    assert config.pretty_text == 'a = 1\n'
    other = copy.deepcopy(config)
    other.a = 2
    assert (config.pretty_text, other.pretty_text) == ('a = 1\n', 'a = 2\n')
