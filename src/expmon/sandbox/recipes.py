"""Nimbus recipes to rows of ``monitoring.experimenter_experiments_v1``."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from expmon.errors import PingError
from expmon.sandbox.documents import json_kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_INT64_MAX = 2**63 - 1


def read_recipes(path: Path) -> tuple[list[dict[str, Any]], list[PingError]]:
    """The experiments of a file of recipes.

    The file is JSON: a list of recipes, an object with such a list under ``data``, or one recipe.

    Returns:
        One row for each recipe that can be read, in their order, and one error for each that can't,
        which says its place in the file, its slug and what is wrong.

    Raises:
        PingError: the file can't be read, is not JSON, or is none of the three.
    """
    rows: list[dict[str, Any]] = []
    errors: list[PingError] = []
    for index, recipe in enumerate(_recipes(path)):
        try:
            rows.append(recipe_row(recipe))
        except PingError as error:
            slug = recipe.get("slug") if isinstance(recipe, dict) else None
            named = f" ({slug[:80]!r})" if isinstance(slug, str) else ""
            errors.append(PingError(f"recipe {index}{named}: {error}"))
    return rows, errors


def recipe_row(recipe: object) -> dict[str, Any]:
    """One recipe as a row.

    ``type`` is ``rollout`` or ``experiment``; ``status`` is ``Complete`` with an end date, else
    ``Live`` with a start date, else ``Draft``.

    Raises:
        PingError: it has no slug, or a field has the wrong shape; the message says which.
    """
    if not isinstance(recipe, dict):
        raise PingError(f"a recipe is a JSON object, not {json_kind(recipe)}")
    slug = _string(recipe, "slug")
    if not slug:
        raise PingError("slug is missing or empty")
    start, end = _date(recipe, "startDate"), _date(recipe, "endDate")
    if start and end and end < start:
        raise PingError(f"endDate {end} is before startDate {start}")
    is_rollout = recipe.get("isRollout")
    is_rollout = False if is_rollout is None else is_rollout
    if not isinstance(is_rollout, bool):
        raise PingError(f"isRollout must be a boolean, not {json_kind(is_rollout)}")
    return {
        "normandy_slug": slug,
        "experimenter_slug": _string(recipe, "experimenterSlug"),
        "type": "rollout" if is_rollout else "experiment",
        "status": "Complete" if end else "Live" if start else "Draft",
        "start_date": start,
        "end_date": end,
        "enrollment_end_date": _date(recipe, "enrollmentEndDate"),
        "proposed_enrollment": _integer(recipe, "proposedEnrollment"),
        "reference_branch": _string(recipe, "referenceBranch"),
        "is_rollout": is_rollout,
        "branches": _branches(recipe),
        "app_name": _string(recipe, "appName"),
        "channel": _string(recipe, "channel"),
    }


def _recipes(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PingError(f"the file is not UTF-8 text (byte {error.start})") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise PingError(f"the file can't be read: {reason}") from error
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PingError(f"not JSON: {error.msg} (line {error.lineno})") from error
    except (ValueError, RecursionError) as error:
        raise PingError(f"not JSON that can be read: {error}") from error
    if isinstance(content, dict):
        data = content.get("data", [content] if "slug" in content else None)
    else:
        data = content
    if not isinstance(data, list):
        raise PingError(
            "these are no recipes: expected a list, an object with a list under 'data', or one "
            "object with a 'slug'"
        )
    return data


def _branches(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    branches = recipe.get("branches")
    if branches is None:
        return []
    if not isinstance(branches, list):
        raise PingError(f"branches must be an array, not {json_kind(branches)}")
    rows = []
    for index, branch in enumerate(branches):
        if not isinstance(branch, dict):
            raise PingError(f"branches[{index}] must be an object, not {json_kind(branch)}")
        where = f"branches[{index}]."
        slug = _string(branch, "slug", where=where)
        if slug is None:
            raise PingError(f"{where}slug is missing")
        rows.append({"slug": slug, "ratio": _integer(branch, "ratio", where=where)})
    return rows


def _string(parent: Mapping[str, Any], key: str, *, where: str = "") -> str | None:
    value = parent.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise PingError(f"{where}{key} must be a string, not {json_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PingError(f"{where}{key} has half of a surrogate pair, which is no text") from None
    return value


def _integer(parent: Mapping[str, Any], key: str, *, where: str = "") -> int | None:
    value = parent.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise PingError(f"{where}{key} must be an integer, not {json.dumps(value)[:60]}")
    if not 0 <= value <= _INT64_MAX:
        raise PingError(f"{where}{key} must be from 0 to {_INT64_MAX}")
    return value


def _date(recipe: Mapping[str, Any], key: str) -> date | None:
    """A date; of a time, which some exports have, its day in UTC."""
    value = _string(recipe, key)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    except (ValueError, OverflowError):
        raise PingError(f"{key} {value[:60]!r} is not a date like 2021-01-26") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
