"""What a file that breaks off, or is broken in the middle, still gives."""

from __future__ import annotations

import pytest

from expmon.errors import PingError
from expmon.sandbox import read_documents, read_recipes


@pytest.fixture
def read(tmp_path):
    def lines(content, **options):
        path = tmp_path / "pings.json"
        path.write_bytes(content)
        return [
            (d.line, d.ping if d.ping is not None else "error")
            for d in read_documents(path, **options)
        ]

    return lines


def test_after_a_document_that_is_too_long_nothing_is_read(read):
    long = (
        b'{\n"a": "' + b"x" * 40 + b'",\n"b": "' + b"x" * 40 + b'"\n}\n{"type":"event","id":"x"}\n'
    )
    assert read(long, limit=60) == [(1, "error")]


def test_text_that_breaks_inside_a_laid_out_array_gives_one_error(read):
    assert read(b'[\n{"a":1},\n{"b":"\xff"},\n{"c":2}\n]') == [(2, {"a": 1}), (3, "error")]


def test_a_line_may_have_as_many_bytes_as_the_limit(read):
    assert read(b'{"a":1}\n{"b":2}\r\n', limit=7) == [(1, {"a": 1}), (2, {"b": 2})]
    assert read(b'{"a":1}\n{"b":22}\n', limit=7) == [(1, {"a": 1}), (2, "error")]


def test_an_open_string_costs_its_line_alone(read):
    assert read(b'{"a": "open\n{"b": 2}\n') == [(1, "error"), (2, {"b": 2})]


def test_a_document_nested_too_deeply_is_reported_at_its_own_line(read):
    deep = b'{"b":\n1}\n{"a":\n' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    assert read(deep) == [(1, {"b": 1}), (3, "error")]


@pytest.mark.parametrize("value", ["0", '""', "[]", "{}", "1"])
def test_is_rollout_must_be_a_boolean(tmp_path, value):
    path = tmp_path / "recipes.json"
    path.write_text(f'[{{"slug": "a", "isRollout": {value}}}]')
    rows, errors = read_recipes(path)
    assert rows == []
    assert "isRollout must be a boolean" in str(errors[0])


def test_an_error_about_an_unprintable_slug_can_be_printed(tmp_path):
    path = tmp_path / "recipes.json"
    path.write_text('[{"slug": "\\ud800"}]')
    _, errors = read_recipes(path)
    assert b"\\ud800" in str(errors[0]).encode()


def test_numbers_that_json_has_not_are_refused_in_recipes(tmp_path):
    path = tmp_path / "recipes.json"
    path.write_text('[{"slug": "a", "x": NaN}]')
    with pytest.raises(PingError, match="NaN is no number of JSON"):
        read_recipes(path)
