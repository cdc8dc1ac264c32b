"""What the docstrings have beside Google's style, and where they differ from it.

They have fenced code and drawn trees. Types stand in the signatures alone: what comes before a
colon is no type. Fields and members that explain themselves are listed all the same.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import TYPE_CHECKING

from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment
    from sphinx.util.typing import ExtensionMetadata

_BEFORE_NAPOLEON = 400
_FENCE = re.compile(r"```(\w*)$")
_HEADING = "Attributes:"
_INLINE = {"attribute", "data", "property"}
_CONSTRUCTORS = {"__init__", "__new__"}
_ENTRY = re.compile(r"    (\w+):")


def _process(
    _app: Sphinx, what: str, _name: str, documented: object, _options: object, lines: list[str]
) -> None:
    lines[:] = _literal_trees(_code_blocks(_untyped_returns(lines)))
    if isinstance(documented, type) and dataclasses.is_dataclass(documented):
        fields = [f.name for f in dataclasses.fields(documented) if not f.name.startswith("_")]
        lines[:] = _with_all_fields(lines, fields)
    if isinstance(documented, enum.EnumType):
        values = ", ".join(f"``{member.value}``" for member in documented)
        lines += ["", f"One of {values}."]
    if what in _INLINE:
        # An empty comment: what comes before a colon on the first line would be taken for a type.
        lines[:0] = ["..", ""]


def _without_constructors(
    _app: Sphinx, _what: str, name: str, _member: object, _skip: object, _options: object
) -> bool | None:
    """The fields say it, or the class's docstring."""
    return name in _CONSTRUCTORS or None


def _short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """What single backticks name without its module, if only one thing has that name."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    ending = f".{node['reftarget']}"
    found = [name for name, entry in domain.objects.items() if name.endswith(ending)]
    if len(found) != 1:
        return None
    place = domain.objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, content)


def _untyped_returns(lines: Sequence[str]) -> Iterator[str]:
    """``Returns:`` as a field, whose text is not split at a colon."""
    for line in lines:
        yield ":returns:" if line == "Returns:" else line


def _code_blocks(lines: Iterable[str]) -> Iterator[str]:
    """Markdown's fenced code as a directive."""
    is_inside = False
    for line in lines:
        fence = _FENCE.match(line)
        if fence and not is_inside:
            yield from (f".. code-block:: {fence[1] or 'text'}", "")
        elif not fence:
            yield f"   {line}" if is_inside else line
        is_inside ^= fence is not None


def _literal_trees(lines: Iterable[str]) -> Iterator[str]:
    """A paragraph with a drawn tree as it stands in the source."""
    for paragraph in "\n".join(lines).split("\n\n"):
        if "├── " in paragraph:
            yield from ("::", "", *(f"   {line}" for line in paragraph.split("\n")), "")
        else:
            yield from (*paragraph.split("\n"), "")


def _with_all_fields(lines: Sequence[str], fields: Sequence[str]) -> list[str]:
    """The docstring with an entry under ``Attributes:`` for every field, in the fields' order."""
    start = lines.index(_HEADING) if _HEADING in lines else len(lines)
    entries: dict[str, list[str]] = {}
    end = start + 1
    for line in lines[start + 1 :]:
        if line and not line.startswith(" "):
            break
        end += 1
        if found := _ENTRY.match(line):
            entries[found[1]] = [line]
        elif line and entries:
            entries[next(reversed(entries))].append(line)
    listed = [line for name in fields for line in entries.pop(name, [f"    {name}:"])]
    rest = [line for described in entries.values() for line in described]
    return [*lines[:start], "", _HEADING, *listed, *rest, "", *lines[end:]]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Read docstrings before the extension for Google's style does."""
    app.connect("autodoc-process-docstring", _process, priority=_BEFORE_NAPOLEON)
    app.connect("missing-reference", _short_name)
    app.connect("autodoc-skip-member", _without_constructors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
