"""Every command line that a page of ours or the paper's README prints is understood."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from helpers_refusals import refused
from helpers_tools import parsed

from miqa.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = (*ROOT.glob('README*.md'), *ROOT.glob('docs/**/*.md'), ROOT / 'data' / 'README.md')

#: As the paper's README prints it; what else it prints is run by test_papers_commands.py.
PAPER = ('python tools/train.py configs/ra_miqa_det.py --data_root data/miqd --gpu-ids 0 1',)
#: Spellings of earlier versions of this project.
EARLIER = (
    'miqa image photo.jpg --weights work_dirs/x/best.pth',
    'miqa image photo.jpg -m ra-miqa -w best.pth --task det --label accuracy',
    'miqa video drive.mp4 --frames 60 --fps 2 --sampling fps',
    'miqa camera 1 --alert-below 0.4 --no-window --precision bf16',
    'miqa export demo.onnx --model demo',
    'miqa serve --weights work_dirs/x/best.pth --port 8000',
)


def commands_in(text: str) -> list[list[str]]:
    """Return the words of every `miqa` and `tools/` command in a page's shell blocks."""
    results = []
    for block in re.findall(r'^ *```(?:bash|sh|shell|console)\n(.*?)^ *```', text, re.MULTILINE | re.DOTALL):
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = next(
                    (place for place, word in enumerate(words) if word in ('|', '&&', ';', '>', '&')), len(words)
                )
                part, words = words[:end], words[end + 1 :]
                if part[:1] == ['miqa'] or (len(part) > 1 and part[1].startswith('tools/')):
                    results.append(part)
    return results


PRINTED = [
    pytest.param(command, id=f'{page.name}: {" ".join(command)[:80]}')
    for page in PAGES
    for command in commands_in(page.read_text(encoding='utf-8'))
]


@pytest.mark.parametrize('message', PRINTED)
def test_every_command_that_a_page_prints_is_understood(message):
    if message[0] == 'bash':
        assert (ROOT / message[1]).is_file()
        return
    try:
        parsed(message)
    except SystemExit as ended:
        assert {'-h', '--help'} & set(message) and ended.code == 0


@pytest.mark.parametrize('command', [*PAPER, *EARLIER])
def test_the_spellings_of_the_paper_and_of_earlier_versions_are_understood(command):
    assert parsed(shlex.split(command))


def test_the_harness_notices_an_option_that_is_not_there(capsys):
    refused(SystemExit, '', parsed, ['miqa', 'image', 'a.jpg', '--no-such-option'])
    assert '--no-such-option' in capsys.readouterr().err
    assert commands_in('```bash\nfind . | miqa image - \\\n  --json  # note\n```') == [['miqa', 'image', '-', '--json']]
    assert len(PRINTED) > 30


def test_an_unknown_option_gets_the_nearest_one(capsys):
    assert refused(SystemExit, '', main, ['image', 'shots/', '--modle', 'demo']).code == 2
    assert "unrecognized arguments: --modle demo. Did you mean '--model'?" in capsys.readouterr().err


@pytest.mark.parametrize(('message', 'hint'), [
    ('data/plan.py shots --task det --smaple 3', '--sample'),
    ('data/run_machines.py --task det --machines m.py x --sahrd 1/2 --data-rot y', '--shard'),
    ('data/run_machines.py x --task det --machines m.py --data-rot y', '--data-root'),
    ('analysis/report.py x --tilte y', '--title'),
])  # fmt: skip
def test_a_tool_suggests_the_nearest_option_too(message, hint, monkeypatch, capsys):
    tool, *message = message.split()
    monkeypatch.setattr(sys, 'argv', [tool, *message])
    assert refused(SystemExit, '', runpy.run_path, str(ROOT / 'tools' / tool), run_name='__main__').code == 2
    assert f"Did you mean '{hint}'?" in capsys.readouterr().err


def test_an_invalid_selection_is_refused(capsys):
    refused(SystemExit, '', main, ['train', 'ra_miqa_cls', '--selection', 'half'])
    assert "--selection: a share such as 0.2, or test; not 'half'" in capsys.readouterr().err


def test_every_config_that_a_tool_names_is_there():
    sources = [*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'miqa').rglob('*.py'), *(ROOT / 'tools').glob('*.sh')]
    named = {
        f'{folder}/{name}'
        for path in sources
        for folder, name in re.findall(r"\b(mini|distill)'?(?: / '|/)(\w+\.py)", path.read_text(encoding='utf-8'))
    }
    assert {'mini/response_cls.py', 'distill/lite0.py'} <= named
    assert [name for name in sorted(named) if not (ROOT / 'configs' / name).is_file()] == []
