"""JSON documents out of files: plain or gzip, one document or one a line.

A file of one document a line is streamed, and a line that can't be read costs only itself. A
document laid out over many lines, as people keep samples, is held whole.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from expmon.errors import PingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

MAX_DOCUMENT = 256 * 2**20
"""The most bytes of one line, and characters of a document laid out over several lines."""

_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19
"""No integer of fewer digits is beyond 64 bits."""


@dataclass(frozen=True, slots=True)
class ReadPing:
    """One document of a file, or why there is none.

    Attributes:
        line: where it starts, or where reading broke; 0 if the file could not be opened.
        ping: the JSON object, unless there is an error.
        error: what is wrong, without file and line.
    """

    line: int
    ping: Mapping[str, Any] | None
    error: PingError | None


def read_documents(path: Path, *, limit: int = MAX_DOCUMENT) -> Iterator[ReadPing]:
    """The documents of a file in their order, each with its line.

    The file holds one document or one a line, plain or gzip, whatever its name. The elements of a
    top-level array count each. Blank lines are skipped; an empty file has no documents.

    Args:
        path: the file.
        limit: the most bytes of a line, and characters of a document over several lines; reading
            stops there.

    Yields:
        Documents and, in their places, errors. Nothing is raised for what a file holds: what was
        read before it broke is kept, and after a line that is not JSON reading goes on.
    """
    lines = _text_lines(path, limit)
    for number, text in lines:
        if isinstance(text, str) and _is_unfinished(text):
            yield from _laid_out((number, text), lines, limit=limit)
            return
        yield from _one_a_line(itertools.chain([(number, text)], lines))


def _raw_lines(path: Path, limit: int) -> Iterator[tuple[int, bytes | PingError]]:
    """The lines with their numbers; an error ends them where the file can't be read further."""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            number = 1
            while line := stream.readline(limit + len(b"\r\n")):
                if len(line.rstrip(b"\r\n")) > limit:
                    yield number, PingError(_too_long(limit))
                    return
                yield number, line
                number += 1
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        yield number, PingError(f"the gzip data breaks off here: {error}")
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        yield number, PingError(f"the file can't be read: {reason}")


def _text_lines(path: Path, limit: int) -> Iterator[tuple[int, str | PingError]]:
    """The lines as text, without blank ones; a line that is not UTF-8 is an error in its place."""
    is_text = False
    for number, line in _raw_lines(path, limit):
        if isinstance(line, PingError):
            yield number, line
            continue
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not content or content.isspace():
            continue
        try:
            yield number, content.decode("utf-8")
        except UnicodeDecodeError as error:
            encoding = "UTF-16" if number == 1 and line.startswith(_UTF16_MARKS) else "not UTF-8"
            yield number, PingError(f"the text is {encoding} (byte {error.start}); pings are UTF-8")
            # A first line that is no text is a file that is none: one error says it all.
            if not is_text:
                return
        is_text = True


def _one_a_line(lines: Iterable[tuple[int, str | PingError]]) -> Iterator[ReadPing]:
    for number, text in lines:
        if isinstance(text, PingError):
            yield ReadPing(number, None, text)
        elif (ping := _quickly(text)) is not None:
            yield ReadPing(number, ping, None)
        elif text.lstrip().startswith("["):
            yield from _documents([(number, text)])
        else:
            try:
                value = _DECODER.decode(text)
            except (ValueError, RecursionError) as error:
                yield ReadPing(number, None, _refusal(error))
            else:
                yield _checked(number, text, value)


def _quickly(text: str) -> dict[str, Any] | None:
    """The object that the line is, or None for a line to be read with more care.

    orjson takes a quarter of json's time and gives the same values, but for integers beyond 64
    bits, which it makes floats of. What it refuses json may still read, or tells better what is
    wrong; half of a surrogate pair it refuses.
    """
    if not text.startswith("{"):
        return None
    line = text.encode()
    if _LONG_NUMBER in line.translate(_DIGITS_AS_ZEROS):
        return None
    try:
        value = orjson.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _laid_out(
    first: tuple[int, str], lines: Iterator[tuple[int, str | PingError]], *, limit: int
) -> Iterator[ReadPing]:
    """Documents over several lines, one after another, or one array of them.

    A line that is a ping by itself shows that this is a file of one ping a line, whose first lines
    were cut off: it is read as such from there on, so that it is never held whole.
    """
    held, size = [first], len(first[1])
    is_array = first[1].lstrip().startswith("[")
    for number, text in lines:
        if isinstance(text, PingError):
            error = PingError(f"{text}; nothing after this was read")
            yield from _documents(held, broken=ReadPing(number, None, error))
            return
        if not is_array and _is_whole_ping(text):
            cut_off = all(line.startswith("{") for _, line in held)
            yield from _one_a_line(held) if cut_off else _documents(held)
            yield from _one_a_line(itertools.chain([(number, text)], lines))
            return
        size += len(text)
        if size > limit:
            yield ReadPing(first[0], None, PingError(_too_long(limit)))
            return
        held.append((number, text))
    yield from _documents(held)


def _documents(
    lines: Sequence[tuple[int, str]], *, broken: ReadPing | None = None
) -> Iterator[ReadPing]:
    """Every document of these lines.

    Args:
        lines: with their numbers.
        broken: what the file broke with after them, and so the reason of an unfinished document.
    """
    text = "".join(line for _, line in lines)
    counted = passed = 0
    try:
        for start, end, value in _values(text):
            passed += text.count("\n", counted, start)
            counted = start
            yield _checked(lines[passed][0], text[start:end], value)
    except json.JSONDecodeError as error:
        if not broken:
            index = min(text.count("\n", 0, error.pos), len(lines) - 1)
            yield ReadPing(lines[index][0], None, _refusal(error))
    if broken:
        yield broken


def _values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Each top-level value, and each element of a top-level array, with where it is in the text.

    A value that is refused (NaN, a number of endless digits) is there as its error.
    """
    at, is_array = _after_blanks(text, 0), False
    while at < len(text):
        if not is_array and text[at] == "[":
            at = _after_blanks(text, at + 1)
            is_array = not text.startswith("]", at)
            at = at if is_array else _after_blanks(text, at + 1)
            continue
        start = at
        value, end = _decode_at(text, start)
        yield start, end, value
        at = _after_blanks(text, end)
        if is_array:
            is_array = not text.startswith("]", at)
            if is_array and not text.startswith(",", at):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = _after_blanks(text, at + 1)
    if is_array:
        raise json.JSONDecodeError("Expecting value", text, at)


def _decode_at(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, at) from None
    except ValueError as error:
        # The text is well formed, so where this document ends, and the next starts, is known.
        return _refusal(error), _LENIENT.raw_decode(text, at)[1]


def _checked(line: int, text: str, value: object) -> ReadPing:
    """The value as a ping: an object whose strings can be stored as UTF-8."""
    if isinstance(value, PingError):
        return ReadPing(line, None, value)
    if not isinstance(value, dict):
        kind = json_kind(value)
        return ReadPing(line, None, PingError(f"a ping is a JSON object, not {kind}"))
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            reason = "a string has half of a surrogate pair, which is no text"
            return ReadPing(line, None, PingError(reason))
        except RecursionError as error:
            return ReadPing(line, None, _refusal(error))
    return ReadPing(line, value, None)


def _is_unfinished(text: str) -> bool:
    """Whether the text is JSON as far as it goes: the first line of a document over several."""
    try:
        _LENIENT.decode(text)
    except json.JSONDecodeError as error:
        # Strings don't go over lines: an open one is a broken line.
        is_open_string = error.msg.startswith(("Unterminated string", "Invalid control character"))
        return not is_open_string and error.pos >= len(text.rstrip())
    except RecursionError:
        return False
    return False


def _is_whole_ping(text: str) -> bool:
    """Whether this line by itself is a ping; inside a document laid out over lines none is."""
    if not (text.startswith("{") and text.rstrip().endswith("}")):
        return False
    try:
        value = _LENIENT.decode(text)
    except (ValueError, RecursionError):
        return False
    return "type" in value and "id" in value


def _after_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _too_long(limit: int) -> str:
    return f"longer than {limit} bytes: write one ping a line; nothing after this was read"


def _refusal(error: ValueError | RecursionError) -> PingError:
    match error:
        case PingError():
            return error
        case json.JSONDecodeError():
            return PingError(f"not JSON: {error.msg} (column {error.colno})")
        case RecursionError():
            return PingError("nested too deeply")
        case _:  # what Python says of integers above its limit of digits
            return PingError("a number has too many digits")


def _refuse_constant(name: str) -> NoReturn:
    raise PingError(f"not JSON: {name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_LENIENT = json.JSONDecoder(parse_int=str)


def json_kind(value: object) -> str:
    """What JSON calls this value, with its article, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
