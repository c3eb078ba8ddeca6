"""The house rule: data flows one way, a module imports only from earlier floors, and never in a circle.

What counts as an import: every ``import`` and ``from ... import`` of a module of the package, wherever it stands (at
the top, in a function, under ``TYPE_CHECKING``), and every module that a package's ``__init__`` names in ``_HOMES`` for
``lazy_names``. What does not: that importing ``a.b`` also runs ``a/__init__.py``.
"""

import ast
import importlib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'miqa'

#: Two lanes that meet on the disk and nowhere else: building a database, and learning from one.
BUILDING = ('distortions', 'machines', 'labelling')
LEARNING = ('datasets', 'models', 'engine')

#: Earlier floors first. A module may import from its own floor and from any floor above it.
FLOORS = (
    'errors', 'lazy', 'taxonomy', 'layout', 'registry', 'structures', 'outside', 'keeping', 'pictures', 'running',
    'networks', 'annotations', 'splits', *BUILDING, *LEARNING, 'evaluation', 'benchmark', 'reports', 'demo', 'apis',
    'gates', 'distillation', 'serving', 'integrations', 'paper_options', 'train', 'test', 'cli', '__main__',
)  # fmt: skip

#: What a floor must not import although it comes earlier: the other lane; and a network knows nothing of files.
APART = {floor: set(BUILDING) for floor in LEARNING} | {floor: set(LEARNING) for floor in BUILDING}
APART['models'].add('datasets')


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    results = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = ('miqa', *path.relative_to(PACKAGE).with_suffix('').parts)
        results['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return results


@cache
def imported_names(path: Path) -> set[str]:
    """Dotted names that a module imports: ``a.b.c`` for ``from a.b import c``, which may be a module or not."""
    package = ('miqa', *path.relative_to(PACKAGE).parent.parts)
    results = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            results.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = '.'.join(base + ([node.module] if node.module else []))
            results.update(f'{module}.{alias.name}' for alias in node.names)
        elif isinstance(node, ast.Assign) and any(getattr(name, 'id', None) == '_HOMES' for name in node.targets):
            homes = ast.literal_eval(node.value).values()
            results.update(home if home.startswith('miqa.') else '.'.join((*package, home)) for home in homes)
    return results


def imported_floors(path: Path) -> set[str]:
    """Floors of the package that a module imports from."""
    heads = {tuple(name.split('.')[:2]) for name in imported_names(path)}
    result = {head[1] for head in heads if head[0] == 'miqa' and head[1:] and head[1] in FLOORS}
    return result | {'apis' for head in heads if head[0] == 'machine_iqa'}


def imported_modules(known: dict[str, Path]) -> dict[str, set[str]]:
    """Modules that each module imports: ``a.b`` for ``from a.b import c`` unless ``a.b.c`` is a module itself."""
    graph = {}
    for name, path in known.items():
        targets = {full if full in known else full.rpartition('.')[0] for full in imported_names(path)}
        graph[name] = (targets & known.keys()) - {name}
    return graph


def circle_in(graph: dict[str, set[str]]) -> str:
    """A circle of imports, or an empty text."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ' <- '.join(error.args[1])
    return ''


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


MODULES = sorted(PACKAGE.rglob('*.py'))


def test_every_module_belongs_to_a_floor():
    homeless = [path for path in MODULES if floor_of(path) not in (*FLOORS, '__init__')]
    assert not homeless, f'Add these to FLOORS, in the order of the arrow: {homeless}'


def test_a_module_imports_only_from_earlier_floors():
    wrong = {}
    for path in MODULES:
        own = floor_of(path)
        allowed = set(FLOORS[: FLOORS.index(own) + 1] if own in FLOORS else ())
        wrong[path] = imported_floors(path) - (allowed - APART.get(own, set()))
    assert {str(path): floors for path, floors in wrong.items() if floors} == {}


def test_no_modules_import_one_another_in_a_circle():
    assert circle_in(imported_modules(modules())) == ''


#: Packages whose names are imported when they are used, and shown to type checkers.
LAZY = [path for path in PACKAGE.rglob('__init__.py') if 'if TYPE_CHECKING:' in path.read_text(encoding='utf-8')]


@pytest.mark.parametrize('path', LAZY, ids=lambda path: '.'.join(path.parent.relative_to(PACKAGE).parts) or 'miqa')
def test_type_checkers_see_the_same_names_as_users(path):
    package = '.'.join(('miqa', *path.parent.relative_to(PACKAGE).parts))
    homes = importlib.import_module(package)._HOMES
    users = {f'{home if home.startswith("miqa.") else f"{package}.{home}"}.{name}' for name, home in homes.items()}
    assert names_for_type_checkers(path, package) == users


def names_for_type_checkers(path: Path, package: str) -> set[str]:
    """Whole names that a package imports under ``if TYPE_CHECKING:``."""
    (block,) = [
        node for node in ast.parse(path.read_text(encoding='utf-8')).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
    ]  # fmt: skip
    return {
        f'{f"{package}." * bool(node.level)}{node.module}.{alias.name}'
        for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip


def rooms_of(graph: dict[str, set[str]], parent: str) -> dict[str, set[str]]:
    """Imports between what lies directly in a package: its files, and its folders as one room each."""

    def room(name: str) -> str:
        return name.removeprefix(f'{parent}.').split('.')[0]

    inside = {name: targets for name, targets in graph.items() if name.startswith(f'{parent}.')}
    rooms: dict[str, set[str]] = {}
    for name, targets in inside.items():
        rooms.setdefault(room(name), set()).update(room(target) for target in targets if target in inside)
    return {name: targets - {name} for name, targets in rooms.items()}


#: Packages that hold packages.
PARENTS = sorted(
    {'.'.join(('miqa', *path.parents[1].relative_to(PACKAGE).parts)) for path in PACKAGE.glob('*/**/__init__.py')}
)


@pytest.mark.parametrize('parent', PARENTS)
def test_no_rooms_inside_a_package_import_one_another_in_a_circle(parent):
    assert circle_in(rooms_of(imported_modules(modules()), parent)) == ''


def is_private(name: str) -> bool:
    # namedtuple's methods have an underscore so that they clash with no field.
    public = ('_asdict', '_fields', '_field_defaults', '_make', '_replace')
    return name.startswith('_') and not name.startswith('__') and name not in public


def private_names(path: Path) -> tuple[set[str], set[str]]:
    """Underscore names that a module defines, and those that it takes from objects other than ``self`` and ``cls``."""
    defined, taken = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr)
        elif isinstance(node, ast.AnnAssign | ast.Name) and isinstance(getattr(node, 'target', node), ast.Name):
            defined.add(getattr(node, 'target', node).id)
        elif isinstance(node, ast.Attribute) and getattr(node.value, 'id', None) not in ('self', 'cls'):
            taken.add(node.attr)
    return set(filter(is_private, defined)), set(filter(is_private, taken))


def test_nobody_reaches_into_the_underscore_names_of_another_file():
    names = {path: private_names(path) for path in MODULES}
    everybodys = set().union(*(defined for defined, _ in names.values()))
    for path, (defined, taken) in names.items():
        imported = [name for name in imported_names(path) if name.startswith('miqa.')]
        assert not [name for name in imported if any(map(is_private, name.split('.')))], path
        assert not (taken - defined) & everybodys, path


def test_the_rule_notices_a_reach_into_another_file(tmp_path):
    (tmp_path / 'a.py').write_text('class A:\n    def _secret(self):\n        return self._kept\n')
    (tmp_path / 'b.py').write_text('def use(a):\n    return a._secret(), a._replace(x=1)\n')
    assert private_names(tmp_path / 'a.py') == ({'_secret'}, set())
    assert private_names(tmp_path / 'b.py') == (set(), {'_secret'})


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """Write modules of a made-up package in place of the real one."""
    monkeypatch.setattr(f'{__name__}.PACKAGE', tmp_path / 'miqa')

    def write(**files: str) -> dict[str, Path]:
        for name, text in files.items():
            path = tmp_path / 'miqa' / f'{name.replace("__in__", "/")}.py'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return modules()

    return write


def test_the_rule_notices_a_backward_import(other_package):
    problems = other_package(
        datasets__in__bad='from ..models import heads\ndef late():\n    import miqa.reports.plots\n'
    )
    assert imported_floors(problems['miqa.datasets.bad']) == {'models', 'reports'}


@pytest.mark.parametrize('back', [
    'from . import first', 'from .first import name', 'def late():\n    from miqa.apis.first import name\n',
    'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import miqa.apis.first\n',
])  # fmt: skip
def test_the_rule_notices_a_circle_wherever_the_import_stands(other_package, back):
    problems = other_package(apis__in__first='from .second import x', apis__in__second='from .third import x')
    assert not circle_in(imported_modules(problems))
    assert circle_in(imported_modules(other_package(apis__in__third=back)))


def test_the_rule_notices_a_circle_through_lazy_names(other_package):
    problems = other_package(
        **{'pictures__in____init__': "_HOMES = {'name': 'first'}"},
        pictures__in__first='from miqa.pictures import other',
    )
    assert circle_in(imported_modules(problems))


def test_the_rule_notices_a_circle_of_rooms_without_a_circle_of_modules(other_package):
    problems = other_package(apis__in__one__in__a='from ..two.b import x', apis__in__two__in__c='from ..one.d import x')
    problems = other_package(apis__in__two__in__b='', apis__in__one__in__d='')
    graph = imported_modules(problems)
    assert not circle_in(graph) and circle_in(rooms_of(graph, 'miqa.apis'))
