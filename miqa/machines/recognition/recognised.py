"""What was recognised about a network file: a machine's config with notes, kept as a config file."""

from __future__ import annotations

import os
import pprint
from dataclasses import dataclass, field
from pathlib import Path

from miqa.keeping import atomic_write


@dataclass
class RecognisedMachine:
    """How a network in a file is used.

    Attributes:
        config: of the machine, see :func:`miqa.machines.build_machine`.
        notes: sentences: what was recognised, how, and what is a guess.
        certain: nothing that matters was guessed.
        agreement: with the annotations of the pictures, average precision in [0, 1] over all classes together; None
            without annotations.
        beside: SHA-256 of the files beside it that hold its numbers, by name.
    """

    config: dict
    notes: list[str] = field(default_factory=list)
    certain: bool = True
    agreement: float | None = None
    beside: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return a config file of it, Python, with the notes as comments."""
        comments = [' '.join(note.split()) for note in self.notes]
        lines = [f'# {Path(self.config["file"]).name}: found out from the file and from pictures.']
        lines += [f'# - {comment}' for comment in comments]
        body = pprint.pformat(self.config, width=110, sort_dicts=False, compact=True)
        lines += ['machines = [', *(f'    {line}' for line in body.splitlines()), ']', '']
        return '\n'.join(lines)


def write_machine_config(recognised: RecognisedMachine, path: str | os.PathLike) -> None:
    """Write the config file of a recognised machine; `--machine path` uses it afterwards.

    Raises:
        FileExistsError: there is another file.
    """
    target = Path(path)
    text = recognised.text()
    if target.exists():
        if target.is_file() and target.stat().st_size < 1 << 20 and target.read_text(encoding='utf-8') == text:
            return
        raise FileExistsError(f'{target} is there already and differs. Name another file, or move it away.')
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding='utf-8')


def size_note(size: tuple[int, int]) -> str:
    return (
        f'The file takes pictures of any size; {size[1]}x{size[0]} is a guess: --machine-options size=HEIGHTxWIDTH '
        'says another.'
    )
