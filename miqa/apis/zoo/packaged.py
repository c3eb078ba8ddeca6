"""The quality model that ships inside the package, and its card."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from miqa.apis.methods import LITE
from miqa.errors import WeightsUnavailable
from miqa.outside import read_regular_text
from miqa.outside.json_text import read_settings


def packaged_folder() -> Path:
    """Return the folder of the model that ships."""
    return Path(str(resources.files('miqa'))) / 'box'


def packaged_model() -> Path:
    """Return the file of the model that ships.

    Raises:
        WeightsUnavailable: the installation lacks the file.
    """
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
