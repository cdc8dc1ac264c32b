"""What may be the slug of an experiment, and so part of a file's name; and how names are shown."""

from __future__ import annotations

import re

from expmon.errors import InvalidSlug

MAX_SLUG = 150
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_slug(text: object) -> bool:
    """Whether the text is a slug: nothing else gets into the name of a file."""
    return (
        isinstance(text, str)
        and len(text) <= MAX_SLUG
        and ".." not in text
        and _SLUG.fullmatch(text) is not None
    )


def checked_slug(text: str) -> str:
    """The slug itself.

    Raises:
        InvalidSlug: it is none.
    """
    if not is_slug(text):
        raise InvalidSlug(str(text))
    return text


def shown_branch(branch: str, most: int) -> str:
    """The branch's name as a line for people, of at most so many characters.

    What is no printable character is escaped, as it could be obeyed, or not be seen.
    """
    if branch == "null":
        return "null (no branch)"
    name = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in branch)
    if len(name) > most:
        name = f"{name[: most - 12]}…{name[-11:]}"
    return name if name.strip() else f"'{name}'"
