"""HTML as a tree, whose texts are escaped when it is printed, and the document around it."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable

Element = ET.Element
Child = ET.Element | str | None
_ICON = "data:,"
"""No icon: a browser would ask for one."""


def h(tag: str, /, *children: Child, **attributes: str | None) -> Element:
    """An element.

    Args:
        tag: its name.
        children: elements and texts, in their order; None is left out.
        attributes: by name, with ``_`` for ``-`` and one at the end where Python has the word;
            None is left out.
    """
    given = {
        name.rstrip("_").replace("_", "-"): value
        for name, value in attributes.items()
        if value is not None
    }
    found = ET.Element(tag, given)
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            if last is None:
                found.text = (found.text or "") + child
            else:
                last.tail = (last.tail or "") + child
        elif child is not None:
            found.append(child)
            last = child
    return found


def document(
    title: str, body: Iterable[Child], *, scripts: Iterable[str], data: object = None
) -> str:
    """A whole page, which needs no other file and may ask no host for any.

    Args:
        title: of the page.
        body: what is in it.
        scripts: in their order.
        data: for the scripts, what JSON can say.
    """
    style = "\n".join(asset(name) for name in ("uPlot.min.css", "report.css"))
    script = "\n".join(scripts)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    # In a script an end tag would be obeyed wherever it stands; of JSON nothing changes by this.
    told = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", http_equiv="Content-Security-Policy", content=policy),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            h("title", title),
            h("link", rel="icon", href=_ICON),
            h("style", style),
        ),
        h(
            "body",
            *body,
            h("script", told, type="application/json", id="data"),
            h("script", script),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{ET.tostring(page, encoding='unicode', method='html')}\n"


def asset(name: str) -> str:
    """The text of a file that is part of the pages."""
    return resources.files("expmon.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
