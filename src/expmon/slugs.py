"""What may be the slug of an experiment, and so part of a file's name."""

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
