"""Arguments accepted by a class."""

from __future__ import annotations

import inspect


def options_of(kind: object) -> set[str] | None:
    """Return the names of the arguments of a class, those of its bases among them; None where they are not known.

    Args:
        kind: a class; anything else gives None.
    """
    if not inspect.isclass(kind):
        return None
    names: set[str] = set()
    for base in kind.__mro__:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(vars(base)['__init__']).parameters.values()
        names.update(parameter.name for parameter in parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            # Its arguments are all; those of its bases come from it.
            return names - {'self'}
    return None
