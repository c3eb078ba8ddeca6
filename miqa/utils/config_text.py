"""Read the text of a config without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable


def read_config_text(text: str, name: str = 'the config') -> dict:
    """Read what MMEngine's ``Config.pretty_text`` writes: assignments of literals and ``dict(...)``.

    Checkpoints carry their config as Python text. MMEngine reads it by running it, which would let a file from
    elsewhere do anything; here it is only parsed.

    Args:
        text: the config.
        name: what to call it in an error, such as the checkpoint's path.

    Returns:
        Variable names with their values: dicts, lists, tuples, strings, numbers, booleans and None.

    Raises:
        ValueError: the text is not Python, or holds anything that would have to be run.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f'The config in {name} is not valid text (line {error.lineno}): {error.msg}.') from None
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


def _value(node: ast.expr, name: str):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind: Callable = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(item, name) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key, name): _value(value, name) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value
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


def _refusal(name: str, node: ast.AST) -> str:
    return (
        f'The config in {name} holds more than values (line {node.lineno}: {ast.unparse(node)[:60]}), which would have '
        'to be run to be read. Only configs of plain values, as training writes them, are read.'
    )
