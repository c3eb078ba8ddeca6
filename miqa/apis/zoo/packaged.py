"""The quality model that ships inside the package, and its card."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from miqa.apis.methods import LITE
from miqa.errors import WeightsUnavailable
from miqa.outside import read_regular_text
from miqa.outside.json_text import read_settings

PACKAGED_TASK = 'cls'  # The only task that the model was trained for


def packaged_folder() -> Path:
    """Return the folder of the model that ships."""
    return Path(str(resources.files('miqa'))) / 'box'


def packaged_model(task: str | None = None) -> Path:
    """Return the file of the model that ships.

    Args:
        task: that it is wanted for; None for its own.

    Raises:
        ValueError: it does not support the task.
        WeightsUnavailable: the installation lacks the file.
    """
    if task not in (None, PACKAGED_TASK):
        raise ValueError(
            f'miqa-lite scores for {PACKAGED_TASK}, not {task}: use --model ra-miqa, or train a gate '
            '(docs/your_own_gate.md).'
        )
    path = packaged_folder() / f'{LITE}.onnx'
    if not path.is_file():
        raise WeightsUnavailable(f'This installation lacks {path}, the model that ships with it: install miqa again.')
    return path


def model_card() -> dict:
    """Return the card of the model that ships: its training data, limits and measured quality, as JSON has it.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    card = read_settings(packaged_folder() / 'card.json')
    if not isinstance(card, dict):
        raise ValueError(f'{packaged_folder() / "card.json"} is not a model card: install miqa again.')
    return card


def card_text() -> str:
    """Return the card for people, Markdown.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    return read_regular_text(packaged_folder() / 'card.md')
