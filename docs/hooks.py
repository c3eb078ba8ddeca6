"""What MkDocs does to pages beside its plugins."""

import copy
import re

_ROLE = re.compile(r':(?:meth|func|class|mod|attr|data|exc|obj|ref):(?=<code)')


def on_page_content(html: str, **_) -> str:
    """Show names of docstrings without Sphinx's roles, and ``Examples::`` with one colon."""
    return _ROLE.sub('', html).replace('<p>Examples::</p>', '<p>Examples:</p>')


def on_page_context(context, page, nav, **_):
    """Show in the navigation the pages of this page's language; the switch above leads to the other."""
    shown = copy.copy(nav)
    shown.items = [item for item in nav.items if (item.title == '中文') == page.url.startswith('zh/')]
    return {**context, 'nav': shown}
