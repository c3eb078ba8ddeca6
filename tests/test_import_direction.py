"""The house rule: data flows one way, and a module imports only from earlier stages."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'miqa'

# Earlier stages first. A module may import from its own stage and from any stage above it.
STAGES = (
    'taxonomy',
    'registry',
    'structures',
    'utils',
    'distortions',
    'machines',
    'labelling',
    'datasets',
    'models',
    'evaluation',
    'engine',
    'reports',
    'apis',
)


def imported_stages(path: Path) -> set[str]:
    """Stages of the package that a module imports, inside functions too."""
    parts = ('miqa', *path.relative_to(PACKAGE).with_suffix('').parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[: -node.level]) if node.level else []
            module = '.'.join(base + ([node.module] if node.module else []))
            names = [f'{module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            head = name.split('.')
            if head[0] == 'machine_iqa':
                found.add('apis')
            elif head[0] == 'miqa' and len(head) > 1 and head[1] in STAGES:
                found.add(head[1])
    return found


MODULES = sorted(PACKAGE.rglob('*.py'))


def test_every_module_belongs_to_a_stage():
    homeless = [
        path for path in MODULES if path.relative_to(PACKAGE).parts[0].removesuffix('.py') not in (*STAGES, '__init__')
    ]
    assert not homeless, f'Add these to STAGES, in the order of the arrow: {homeless}'


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_earlier_stages(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    allowed = STAGES[: STAGES.index(own) + 1] if own in STAGES else ()
    assert imported_stages(path) <= set(allowed)


def test_the_rule_notices_a_backward_import(tmp_path, monkeypatch):
    module = tmp_path / 'miqa' / 'datasets' / 'bad.py'
    module.parent.mkdir(parents=True)
    module.write_text('from ..models import heads\ndef late():\n    import miqa.reports.plots\n')
    monkeypatch.setattr(f'{__name__}.PACKAGE', tmp_path / 'miqa')
    assert imported_stages(module) == {'models', 'reports'}
