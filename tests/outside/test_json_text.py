"""JSON that somebody else may have written or a disk may have damaged is refused by name, whatever is wrong with it."""

import json
import os

import numpy as np
import pytest
from helpers_refusals import refused

from miqa.apis.gate_fit import Gate, fit_gate
from miqa.keeping.sealed import DamagedFile, read_sealed_json, write_sealed_json
from miqa.reports.benchmark_sections import benchmark_sections, save_figures
from miqa.reports.run_folder import RunFolder

HOSTILE = {
    'empty': '', 'half': '{"a": ', 'deep': '[' * 20_000, 'deep dicts': '{"a":' * 20_000, 'a number': '7',
    'a list': '[]',
    'digits': '{"a": ' + '9' * 5000 + '}', 'NaN': '{"a": NaN}', 'NUL bytes': '\0' * 100,
}  # fmt: skip


@pytest.mark.parametrize('text', HOSTILE.values(), ids=HOSTILE)
def test_every_reader_names_the_file(text, tmp_path):
    path = tmp_path / 'some.json'
    path.write_text(text)
    refused(ValueError, r'some\.json is not a gate file.*miqa gate fit', Gate.load, path)
    refused(DamagedFile, r'some\.json is damaged.*Make it again', read_sealed_json, path, 'Make it again.')
    for read in (benchmark_sections, save_figures):
        (tmp_path / 'settings.json').write_text(text)
        with pytest.raises(ValueError, match=r'settings\.json'):
            read(tmp_path, None) if read is benchmark_sections else read(tmp_path)


@pytest.mark.parametrize(('key', 'value'), [
    ('threshold', 10**4000), ('threshold', -(10**4000)), ('pictures', 10**4000), ('groups', 10**4000),
    ('target', 10**400), ('kept', 1e301),
], ids=str)  # fmt: skip
def test_a_gate_with_a_number_beyond_all_numbers_is_refused_by_its_key(tmp_path, key, value):
    scores = np.linspace(0, 1, 400)
    path = fit_gate(scores, scores > 0.1, target=0.8).save(tmp_path / 'gate.json')
    content = json.loads(path.read_text())
    content['gate'][key] = value
    path.write_text(json.dumps(content))
    caught = refused(ValueError, rf'gate\.json: {key} is .*, which no gate can have', Gate.load, path)
    assert len(str(caught)) < 500


def test_a_sealed_file_with_a_value_that_is_not_a_json_number_is_damaged(tmp_path):
    write_sealed_json(tmp_path / 'x.json', {'a': 1.5})
    (tmp_path / 'x.json').write_text((tmp_path / 'x.json').read_text().replace('1.5', 'Infinity'))
    refused(DamagedFile, 'Infinity', read_sealed_json, tmp_path / 'x.json', 'Make it again.')


def test_curves_of_a_killed_run_lose_only_the_line_that_was_cut_and_say_so(tmp_path):
    folder = tmp_path / '2026' / 'vis_data'
    os.makedirs(folder)  # noqa: PTH103
    lines = [json.dumps({'step': step, 'loss': 1 / step}) for step in (1, 2, 3)]
    tail = '{"step": 4, "lo'
    for broken in (tail.encode(), b'\0' * 50, b'[' * 20_000, b'\xff\xfe\n7\n"x"\n{"step": [1]}'):
        (folder / 'scalars.json').write_bytes('\n'.join(lines).encode() + b'\n' + broken)
        with pytest.warns(UserWarning, match=r'lines of .*scalars\.json are not JSON'):
            curves = RunFolder(tmp_path).curves()
        assert curves.step.tolist() == [1, 2, 3]
