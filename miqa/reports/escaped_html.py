"""HTML by Jinja2 with escaping of all values except generated HTML."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(package: str, template: str, **values) -> Markup:
    """Fill a template and return HTML that is not escaped again.

    Args:
        package: whose folder ``templates`` holds the template, such as ``miqa.reports``.
        template: its file name.
        values: what it shows. Text is escaped; :class:`markupsafe.Markup`, which this function returns, is not.
    """
    return Markup(_environment(package).get_template(template).render(values))  # noqa: S704  escaped by the template
