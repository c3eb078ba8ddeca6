"""The architecture page names every room of the package, in the order in which rooms may import each other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')


def rooms_on_the_page() -> list[str]:
    return [name for cell in re.findall(r'^\| (`.*?) \|', PAGE, re.M) for name in re.findall(r'`(\w+)`', cell)]


def rooms_on_the_disk() -> set[str]:
    folders = {path.parent.name for path in (ROOT / 'miqa').glob('*/__init__.py')}
    return folders | {path.stem for path in (ROOT / 'miqa').glob('*.py')} - {'__init__'}


def test_the_page_names_the_rooms_that_there_are():
    assert sorted(rooms_on_the_page()) == sorted(rooms_on_the_disk())


def test_the_page_lists_rooms_in_the_order_of_their_imports():
    text = (ROOT / 'tests' / 'test_import_direction.py').read_text(encoding='utf-8')
    floors = re.search(r'^FLOORS = \((.*?)^\)', text, re.S | re.M).group(1)
    order = re.findall(r"'(\w+)'|\*(BUILDING|LEARNING)", floors)
    lanes = {'BUILDING': ['distortions', 'machines', 'labelling'], 'LEARNING': ['datasets', 'models', 'engine']}
    assert rooms_on_the_page() == [name for plain, lane in order for name in ([plain] if plain else lanes[lane])]
