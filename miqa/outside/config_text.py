"""Parse a config without running it."""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections.abc import Callable

LONGEST = 500_000  # Characters of a config; the largest of this project has 8,000
DEEPEST = 100  # Levels of brackets


def read_config_text(text: str, name: str = 'the config') -> dict:
    """Read what MMEngine's ``Config.pretty_text`` writes: assignments of literals and ``dict(...)``.

    Checkpoints carry their config as Python text. MMEngine reads it by running it, which would let a file from
    elsewhere do anything; here it is only parsed.

    Returns:
        Variable names with their values: dicts, lists, tuples, strings, numbers, booleans and None.

    Raises:
        ValueError: the text is not Python, is too long or nested too deeply, or holds anything that would have to be
            run.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        content = f'{len(text):,} characters' if isinstance(text, str) else f'a {type(text).__name__}'
        raise ValueError(f'The config in {name} must be a text of at most {LONGEST:,} characters, not {content}.')
    _check_words(text, name)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line, reason = getattr(error, 'lineno', None), getattr(error, 'msg', None) or error
        raise ValueError(f'The config in {name} is not valid text (line {line}): {str(reason)[:200]}.') from None
    values = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            raise ValueError(_refusal(name, statement))
        values[statement.targets[0].id] = _value(statement.value, name)
    return values


def _check_words(text: str, name: str) -> None:
    """Refuse what no config of values needs, before Python's parser, whose stack deep expressions can break, sees it.

    Without operators and keywords only brackets can nest.
    """
    depth, minus = 0, False
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            word = token.string
            if token.type == tokenize.OP:
                depth += (word in '([{') - (word in ')]}')
                wrong = word not in _MARKS or depth > DEEPEST or (word == '-' and minus)
            else:
                values = ('True', 'False', 'None')
                wrong = (token.type == tokenize.NAME and keyword.iskeyword(word) and word not in values) or (
                    token.type == tokenize.STRING and 'f' in word.lower()[: word.find(word[-1])]
                )
                wrong = wrong or token.type not in _HARMLESS
            minus = word == '-'
            if wrong:
                raise ValueError(
                    f'The config in {name} holds more than values (line {token.start[0]}: {word[:60]!r}'
                    f'{f" at depth {depth}" if depth > DEEPEST else ""}), which would have to be run to be read. Only '
                    'configs of plain values, as training writes them, are read.'
                )
    except (tokenize.TokenError, SyntaxError, RecursionError) as error:
        raise ValueError(f'The config in {name} is not valid text: {str(error)[:200]}.') from None


_MARKS = set('()[]{},=:-')
_HARMLESS = {
    tokenize.NAME,
    tokenize.NUMBER,
    tokenize.STRING,
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.COMMENT,
    tokenize.ENDMARKER,
}


def _value(node: ast.expr, name: str):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        kind: Callable = {ast.List: list, ast.Tuple: tuple}[type(node)]
        return kind(_value(item, name) for item in node.elts)
    if isinstance(node, ast.Set) and all(isinstance(item, ast.Constant) for item in node.elts):
        return {item.value for item in node.elts if isinstance(item, ast.Constant)}
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None and isinstance(_unsigned(key), ast.Constant)]
        if len(keys) == len(node.keys):
            return {_value(key, name): _value(value, name) for key, value in zip(keys, node.values, strict=True)}
    number = _unsigned(node)
    if number is not node and isinstance(number, ast.Constant) and isinstance(number.value, (int, float, complex)):
        return -number.value
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'dict'
        and (not node.args or (len(node.args) == 1 and isinstance(node.args[0], ast.Dict)))
        and all(keyword.arg for keyword in node.keywords)
    ):
        # dict({...}) is how keys are written that are no Python names, such as 'network.backbone'.
        first = _value(node.args[0], name) if node.args else {}
        return {**first, **{keyword.arg: _value(keyword.value, name) for keyword in node.keywords}}
    raise ValueError(_refusal(name, node))


def _unsigned(node: ast.expr) -> ast.expr:
    """The constant behind a minus sign, else the node itself."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return node.operand
    return node


def _refusal(name: str, node: ast.expr | ast.stmt) -> str:
    return (
        f'The config in {name} holds more than values (line {node.lineno}: {ast.unparse(node)[:60]}), which would have '
        'to be run to be read. Only configs of plain values, as training writes them, are read.'
    )
