"""Every block of shell and Python in our pages is run, by this test or by one that is named, or says why it is not."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_apis import photo, write_photos, write_ra_miqa
from helpers_database import write_database
from helpers_pages import BLOCKS, PAGES, REASONS, ROOT, blocks_in, without_comments
from helpers_videos import write_video
from PIL import Image

from miqa.apis import MIQAModel

#: What Python blocks take as given, because their pages speak of the reader's own.
GIVEN = """
import numpy as np
from machine_iqa import MIQAModel
rng = np.random.default_rng(0)
model = MIQAModel('demo')
paths = ['a.jpg', 'b.jpg']
scores = rng.random(4000)
outcomes = accuracy = np.clip(1.3 * scores, 0, 1)
sources = np.arange(4000)
pred, gt = rng.random(50), rng.random(50)
"""
#: The published weights, and a folder outside, have stand-ins.
STAND_INS = (("'ra-miqa'", "'demo'"), (' /archive', ' shots/'))

#: One block of each code: a Chinese page repeats the English one's.
TO_RUN = [block for block in BLOCKS if block.to_run().strip()]
RUNNABLE = [*{without_comments(block.to_run()): block for block in reversed(TO_RUN)}.values()][::-1]


def name_of(block) -> str:
    return f'{block.page.relative_to(ROOT)}:{block.line}'


@pytest.mark.parametrize('block', BLOCKS, ids=name_of)
def test_a_block_is_run_or_says_why_not(block):
    for reason, words in block.marks:
        if reason.startswith('tests/'):
            file, _, test = reason.partition('::')
            assert (ROOT / file).is_file(), reason
            assert not test or f'def {test}(' in (ROOT / file).read_text(encoding='utf-8'), reason
        else:
            assert reason in REASONS, f'{name_of(block)}: {reason!r} is no reason; there are {", ".join(REASONS)}'
        for word in words:
            assert word in block.text, f'{name_of(block)}: no line has {word!r}'
    assert block.marks or block.to_run() == block.text.rstrip('\n') or block in TO_RUN


def test_the_pages_are_found_and_marks_are_understood():
    assert {page.name for page in PAGES} >= {'README.md', 'README_CN.md', 'using_miqa.md', 'CONTRIBUTING.md'}
    assert len(BLOCKS) > 60 and len(TO_RUN) >= 30 and len(RUNNABLE) >= 25
    text = '<!-- test: takes long -->\n\ntext\n\n<!-- test: needs network: curl -->\n```bash\ncurl \\\n  x\nls\n```\n'
    (block,) = blocks_in(PAGES[0], text)
    assert block.marks == [('needs network', ['curl'])] and block.to_run().split() == ['ls'] and block.line == 6
    (indented,) = blocks_in(PAGES[0], 'a list\n\n  ```python\n  x = 1\n  ```\n')
    assert indented.text == 'x = 1\n' and indented.mark is None and not indented.shell
    assert blocks_in(PAGES[0], '```yaml\na: 1\n```\n') == []


@pytest.fixture(scope='module')
def workplace(tmp_path_factory):
    """A folder with what the pages name."""
    folder = tmp_path_factory.mktemp('reader')
    (folder / 'home').mkdir()
    write_ra_miqa(folder / 'home' / 'demo.pth')
    for number, name in enumerate(('photo.jpg', 'a.jpg', 'b.jpg', 'frame.png')):
        Image.fromarray(photo(seed=number)[..., ::-1]).save(folder / name)
    for name in ('photos', 'shots'):
        (folder / name).mkdir()
        write_photos(folder / name, 5)
    (folder / 'shots' / 'night').mkdir()
    Image.fromarray(photo(seed=9)).save(folder / 'shots' / 'night' / 'one.PNG')
    write_video(folder / 'drive.mp4', np.linspace(0.1, 0.9, 40), fps=10, fourcc='mp4v')
    (folder / 'clips').mkdir()
    shutil.copy(folder / 'drive.mp4', folder / 'clips' / 'one.mp4')
    rng = np.random.default_rng(1)
    scores = rng.random(3000)
    table = pd.DataFrame({'score': scores, 'outcome': np.clip(1.4 * scores, 0, 1), 'group': np.arange(3000)})
    table['model'] = MIQAModel().identity
    table.to_csv(folder / 'calibration.csv', index=False)
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    (folder / 'data').mkdir()
    for name, task in (('mine', 'cls'), ('mine', 'det'), ('miqd', 'det')):
        write_database(folder / 'data' / name, task, sources=4)
    shutil.rmtree(folder / 'data' / 'mine' / 'splits')
    return folder


@pytest.mark.parametrize('block', RUNNABLE, ids=name_of)
def test_a_block_runs_as_it_is_printed(block, warm, workplace):
    text = block.to_run()
    for ours, theirs in STAND_INS:
        text = text.replace(ours, theirs)
    if block.shell:
        # Blocks of several pages write files of one name, by other models.
        for name in ('gate.json', 'lenient.json') if 'gate fit' in text else ('scores.csv', 'page.html'):
            (workplace / name).unlink(missing_ok=True)
        script = text
    else:
        Path(workplace / 'block.py').write_text(GIVEN + text, encoding='utf-8')
        script = 'python block.py'
    done = warm.run(script, workplace, MIQA_HOME=str(workplace / 'home'), HF_HUB_OFFLINE='1')
    assert done.returncode == 0, f'{text}\n{done.stdout[-3000:]}'
    assert 'Traceback' not in done.stdout
