"""The blocks of shell and Python in our pages, and what each page says of running them.

A comment that nobody sees stands before a block that is not simply run:

    <!-- test: REASON -->                 not run
    <!-- test: REASON: WORD, WORD -->     lines that hold one of the words are not run, the others are
    <!-- test: tests/room/test_x.py -->   run by that test

with one of :data:`REASONS`; several are separated by semicolons.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob('README*.md'), *ROOT.glob('docs/**/*.md'), ROOT / 'data/README.md', *ROOT.glob('C*ING.md'),
     ROOT / 'SECURITY.md'],
)  # fmt: skip
LANGUAGES = ('bash', 'sh', 'shell', 'console', 'python', 'py', 'pycon')
#: Why something is not run here.
REASONS = (
    'needs the database', 'needs weights', 'needs a GPU', 'needs network', 'needs Slurm', 'needs Docker',
    'needs a camera', 'takes long', 'listens for ever',
)  # fmt: skip
_BLOCK = re.compile(r'^( *)```(\w+)[^\n]*\n(.*?)^\1```', re.MULTILINE | re.DOTALL)
_MARK = re.compile(r'<!-- test: ((?:(?!-->).)*?) -->\s*\Z', re.DOTALL)


class Block(NamedTuple):
    """A block of a page."""

    page: Path
    line: int
    language: str
    text: str
    mark: str | None

    @property
    def shell(self) -> bool:
        """Return True for a block of shell; the others are Python."""
        return self.language not in ('python', 'py', 'pycon')

    @property
    def marks(self) -> list[tuple[str, list[str]]]:
        """Reasons, each with the words of the lines that it speaks of; no word: the whole block."""
        parts = [part.partition(':') for part in (self.mark or '').split(';') if part.strip()]
        return [(reason.strip(), [w.strip() for w in words.split(',') if w.strip()]) for reason, _, words in parts]

    @property
    def tests(self) -> list[str]:
        """The tests that run it in place of the general one."""
        return [reason for reason, _ in self.marks if reason.startswith('tests/')]

    def to_run(self) -> str:
        """Return the lines that are to be run; empty where the mark speaks of the whole block."""
        if any(not words for _, words in self.marks):
            return ''
        lines = self.text.replace('\\\n', '\\\0').split('\n') if self.shell else self.text.split('\n')
        dropped = [word for _, words in self.marks for word in words]
        return '\n'.join(line for line in lines if not any(word in line for word in dropped)).replace('\0', '\n')


def without_comments(text: str) -> str:
    """Return the code of a block without comments, the blanks before these, and empty lines."""
    lines = (re.sub(r'\s+#\s.*$', '', line).rstrip() for line in text.split('\n'))
    return '\n'.join(line for line in lines if line and not line.lstrip().startswith('#'))


def blocks_in(page: Path, text: str | None = None) -> list[Block]:
    """Return a page's blocks of shell and Python."""
    text = page.read_text(encoding='utf-8') if text is None else text
    results = []
    for match in _BLOCK.finditer(text):
        if match[2] not in LANGUAGES:
            continue
        mark = _MARK.search(text, 0, match.start())
        body = '\n'.join(line.removeprefix(match[1]) for line in match[3].split('\n'))
        line = text.count('\n', 0, match.start()) + 1
        results.append(Block(page, line, match[2], body, mark and mark[1]))
    return results


BLOCKS = [block for page in PAGES for block in blocks_in(page)]
