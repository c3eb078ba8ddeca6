"""What MkDocs does to pages beside its plugins."""

import re

_ROLE = re.compile(r':(?:meth|func|class|mod|attr|data|exc|obj|ref):(?=<code)')


def on_page_content(html: str, **_) -> str:
    """Show names of docstrings without Sphinx's roles, and ``Examples::`` with one colon."""
    return _ROLE.sub('', html).replace('<p>Examples::</p>', '<p>Examples:</p>')
