"""Links of all pages lead somewhere, shown imports work, and the API reference has every public name."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('data/*.md')})
#: Rooms whose ``__all__`` is public.
ROOMS = (
    'machine_iqa', 'miqa.apis', 'miqa.apis.video', 'miqa.apis.live', 'miqa.apis.zoo', 'miqa.apis.runtimes',
    'miqa.machines', 'miqa.labelling', 'miqa.annotations.formats', 'miqa.datasets', 'miqa.models', 'miqa.engine',
    'miqa.evaluation', 'miqa.integrations', 'miqa.distortions', 'miqa.demo',
)  # fmt: skip


def anchors(page: Path) -> set[str]:
    """Return what a link after ``#`` may name on a page, as GitHub and the site make it of headings."""
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.S)
    result = set(re.findall(r'(?:id|name)="([^"]+)"', text))
    for heading in re.findall(r'^#+ (.*)', text, re.M):
        plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', re.sub(r'[`*]', '', heading)).strip().lower()
        result.add(re.sub(r'[^\w\- ]', '', plain).replace(' ', '-'))
    return result


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_or_heading_of_ours_leads_somewhere(page):
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.S)
    wrong = []
    for link in re.findall(r'\]\(([^)\s]+)\)', text) + re.findall(r'(?:href|src)="([^"]+)"', text):
        if not re.match(r'[a-z]+:', link):
            file, _, anchor = link.partition('#')
            target = page.parent / file if file else page
            if not target.exists() or (anchor and target.suffix == '.md' and anchor not in anchors(target)):
                wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize('room', ROOMS)
def test_the_reference_has_every_public_name(room):
    listed = {
        name for page in (ROOT / 'docs/api').glob('*.md')
        for name in re.findall(r'^::: (\S+)', page.read_text(encoding='utf-8'), re.M)
    }  # fmt: skip
    module, missing = importlib.import_module(room), []
    for name in module.__all__:
        instance = getattr(module, name)
        if inspect.isclass(instance) or inspect.isroutine(instance):
            home = instance.__module__
            if not {home, f'{home}.{instance.__qualname__}'} & listed:
                missing.append(f'{home}.{instance.__qualname__}')
    assert missing == []


def test_every_reference_of_a_docstring_names_something():
    """Roles such as ``:func:`miqa.layout.source_root```, down to the function or class of a module."""
    files = sorted((ROOT / 'miqa').rglob('*.py'))
    modules = {'.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__') for path in files}
    wrong = []
    for path in files:
        for name in set(re.findall(r':\w+:`~?(miqa(?:\.\w+)+)`', path.read_text(encoding='utf-8'))):
            parts = name.split('.')
            depth = max(depth for depth in range(1, len(parts) + 1) if '.'.join(parts[:depth]) in modules)
            module = importlib.import_module('.'.join(parts[:depth]))
            if depth < len(parts) and not hasattr(module, parts[depth]):
                wrong.append(f'{path.relative_to(ROOT)}: {name}')
    assert wrong == []


def test_every_import_that_the_documentation_shows_works():
    pages = [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), ROOT / 'data/README.md', ROOT / 'docs/tutorial.ipynb']
    shown = set()
    for page in pages:
        for module, names in re.findall(
            r'from ((?:miqa|machine_iqa)[a-z_.]*) import ([A-Za-z_][\w, ]*)', page.read_text(encoding='utf-8')
        ):
            shown.update((module, name.split(' as ')[0].strip()) for name in names.split(','))
    assert len(shown) >= 10
    for module, name in sorted(shown):
        assert hasattr(importlib.import_module(module), name), f'from {module} import {name}'
