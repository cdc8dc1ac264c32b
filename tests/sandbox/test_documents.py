from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tricky
from expmon.errors import PingError
from expmon.sandbox import documents as module
from expmon.sandbox.documents import json_kind, read_documents

DATA = Path(__file__).parents[1] / "data"

TOO_DEEP = b"[" * 200_000 + b"]" * 200_000
"""Deeper than any version of Python reads."""
TOO_LONG = b"9" * 5000
"""More digits than Python makes an integer of."""


@pytest.fixture(params=["plain", "gzip"])
def store(request, tmp_path):
    """Writes a file, once plain and once gzip, under a name that tells neither."""

    def write(content):
        path = tmp_path / "pings"
        path.write_bytes(gzip.compress(content) if request.param == "gzip" else content)
        return path

    return write


def found(path, **options):
    """What a file holds: the line and the document, or None for an error."""
    documents = list(read_documents(path, **options))
    for document in documents:
        # Exactly one of the two, always.
        assert (document.ping is None) == isinstance(document.error, PingError)
    return [(document.line, document.ping) for document in documents]


def reasons(path, **options):
    return [str(document.error) for document in read_documents(path, **options) if document.error]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\n \n\t\r\n", [], id="blank"),
        pytest.param(b'{"a": 1}\n{"b": 2}\n', [(1, {"a": 1}), (2, {"b": 2})], id="one a line"),
        pytest.param(b'{"a": 1}\r\n\r\n{}', [(1, {"a": 1}), (3, {})], id="CRLF"),
        pytest.param(
            b'\n\n{"a": 1}\n \t\n{"b": 2}\n\n', [(3, {"a": 1}), (5, {"b": 2})], id="blank lines"
        ),
        pytest.param(b'{\n "a": 1\n}\n', [(1, {"a": 1})], id="laid out"),
        pytest.param(
            b'\n{\n"a": 1\n}\n\n{\n"b":\n\n2}', [(2, {"a": 1}), (6, {"b": 2})], id="two laid out"
        ),
        pytest.param(b"[]", [], id="empty array"),
        pytest.param(b"[\n]\n", [], id="empty array over lines"),
        pytest.param(b'[][{"a": 1}]{"b": 2}', [(1, {"a": 1}), (1, {"b": 2})], id="arrays in a row"),
        pytest.param(b'[{"a": 1}, {"b": 2}]', [(1, {"a": 1}), (1, {"b": 2})], id="array"),
        pytest.param(
            b'[\n{"a": 1},\n\n{"b":\n2},{"c": 3}\n]\n',
            [(2, {"a": 1}), (4, {"b": 2}), (5, {"c": 3})],
            id="array over lines",
        ),
        pytest.param(
            b'[{"a": 1}]\n[]\n[{"b": 2}]', [(1, {"a": 1}), (3, {"b": 2})], id="arrays, one a line"
        ),
        pytest.param(
            b'{"a": 1}\n[{"b": 2}, {"c": 3}]\n',
            [(1, {"a": 1}), (2, {"b": 2}), (2, {"c": 3})],
            id="a document, then an array",
        ),
        pytest.param(b'\xef\xbb\xbf{"a": 1}\n', [(1, {"a": 1})], id="BOM"),
        pytest.param(b'\xef\xbb\xbf\n{"a": 1}\n', [(2, {"a": 1})], id="BOM alone"),
        pytest.param(b'\xef\xbb\xbf{\n"a": 1}\n', [(1, {"a": 1})], id="BOM, laid out"),
    ],
)
def test_every_document_is_read_with_the_line_it_starts_on(store, content, expected):
    assert found(store(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1}\n{"b"\n{"c": 3}\n', [(1, {"a": 1}), (2, None), (3, {"c": 3})]),
        (b'nonsense\n\n{"b": 2}\n', [(1, None), (3, {"b": 2})]),
        (
            b'{"a": "open\n{"type": "main", "id": "b"}\n{"c": 3}\n',
            [(1, None), (2, {"type": "main", "id": "b"}), (3, {"c": 3})],
        ),
        (b'{"a": 1}\n{"b": "\xff"}\n{"c": 3}\n', [(1, {"a": 1}), (2, None), (3, {"c": 3})]),
        (b'{"a": 1} {"b": 2}\n{"c": 3}\n', [(1, None), (2, {"c": 3})]),
        (
            b'{"a": 1}\n[{"b": 2}, nonsense]\n{"c": 3}\n',
            [(1, {"a": 1}), (2, {"b": 2}), (2, None), (3, {"c": 3})],
        ),
    ],
)
def test_a_broken_line_costs_only_itself(store, content, expected):
    assert found(store(content)) == expected


def test_what_is_no_object_is_an_error_that_names_its_kind(store):
    path = store(b'{"a": 1}\n7\n7.5\n"text"\nnull\ntrue\n[[1]]\n{"b": 2}\n')
    kinds = ("a number", "a number", "a string", "null", "a boolean", "an array")
    nothing = [(line, None) for line in range(2, 8)]
    assert found(path) == [(1, {"a": 1}), *nothing, (8, {"b": 2})]
    assert reasons(path) == [f"a ping is a JSON object, not {kind}" for kind in kinds]


def test_json_kind_calls_an_object_an_object():
    assert json_kind({}) == "an object"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_json_has_no_numbers_for_are_refused(store, word):
    for content, expected in (
        (b'{"a": %s}\n{"b": 2}\n', [(1, None), (2, {"b": 2})]),
        (b'{\n"a": %s\n}\n{\n"b": 2\n}\n', [(1, None), (4, {"b": 2})]),
        (b'[{"a": 1},\n{"b": %s},\n{"c": 3}]', [(1, {"a": 1}), (2, None), (3, {"c": 3})]),
    ):
        path = store(content % word.encode())
        assert found(path) == expected
        assert reasons(path) == [f"not JSON: {word} is no number of JSON"]


def test_a_number_of_thousands_of_digits_costs_only_its_document(store):
    for content, expected in (
        (b'{"a": %s}\n{"b": 2}\n', [(1, None), (2, {"b": 2})]),
        (b'[\n{"a": %s},\n{"b": 2}\n]', [(2, None), (3, {"b": 2})]),
    ):
        path = store(content % TOO_LONG)
        assert found(path) == expected
        assert reasons(path) == ["a number has too many digits"]


def test_a_number_beyond_64_bits_is_read_exactly(store):
    assert found(store(b'{"a": 1' + b"0" * 1000 + b"}")) == [(1, {"a": 10**1000})]


def test_deep_nesting_is_an_error_and_no_crash(store):
    path = store(b'{"a": %s}\n{"b": 2}\n' % TOO_DEEP)
    assert found(path) == [(1, None), (2, {"b": 2})]
    assert reasons(path) == ["nested too deeply"]


def test_deep_nesting_keeps_what_an_array_held_before_it(store):
    path = store(b'[{"a": 1}, {"b": %s}]' % TOO_DEEP)
    assert found(path) == [(1, {"a": 1}), (1, None)]
    assert reasons(path) == ["not JSON: nested too deeply (column 12)"]


def test_deep_nesting_that_never_ends_is_an_error(store):
    path = store(b"[" * 200_000 + b'\n{"a": 1}\n')
    assert found(path) == [(1, None), (2, {"a": 1})]


def test_at_the_edge_of_what_python_nests_a_document_is_read_or_refused(tmp_path):
    path = tmp_path / "pings"

    def refusals(depth):
        # The surrogates make for a second look at the document, which nests as deep as the first.
        nested = "[" * depth + "]" * depth
        path.write_text(f'{{"a": "\\ud83d\\ude00", "b": {nested}}}')
        return reasons(path)

    edge = bisect_left(range(200_000), 1, key=lambda depth: len(refusals(depth)))
    around = [refusals(depth) for depth in range(edge - 10, edge + 10)]
    assert around == sorted(around)
    assert (around[0], around[-1]) == ([], ["nested too deeply"])


def test_half_of_a_surrogate_pair_is_refused_and_a_whole_one_read(store):
    path = store(
        b'{"a": "\\ud800"}\n'
        b'{"a": "\\ud83d\\ude00"}\n'
        b'{"\\udc00": 1}\n'
        b'{"a": [{"b": "x\\uDFFFx"}]}\n'
        b'{"a": "\\\\ud800"}\n'
    )
    assert found(path) == [
        (1, None),
        (2, {"a": "\N{GRINNING FACE}"}),
        (3, None),
        (4, None),
        (5, {"a": "\\ud800"}),
    ]
    assert set(reasons(path)) == {"a string has half of a surrogate pair, which is no text"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_of_utf_16_is_one_error_that_says_so(store, encoding):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path = store(mark + '{"a": 1}\n{"b": 2}\n{"c": 3}\n'.encode(encoding))
    assert found(path) == [(1, None)]
    assert "UTF-16" in reasons(path)[0]


def test_a_file_that_is_no_text_is_one_error(store):
    path = store(b"\x89PNG\r\n\x1a\n\xff\xff\n\xfe\n")
    assert found(path) == [(1, None)]
    assert "not UTF-8" in reasons(path)[0]


def test_a_path_with_a_nul_is_an_error_without_a_line():
    path = Path("a\0b")
    assert found(path) == [(0, None)]
    assert "can't be read" in reasons(path)[0]


def test_a_file_that_cannot_be_opened_is_an_error_without_a_line(tmp_path):
    assert found(tmp_path / "missing") == [(0, None)]
    assert reasons(tmp_path / "missing") == ["the file can't be read: No such file or directory"]
    assert found(tmp_path) == [(0, None)]


def lines_of(count):
    """Lines that gzip can't shrink much."""
    return [
        json.dumps({"number": number, "noise": hashlib.sha256(b"%d" % number).hexdigest()})
        for number in range(count)
    ]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_gzip_keeps_the_lines_before_its_end(tmp_path, share):
    lines = lines_of(2000)
    packed = gzip.compress("\n".join(lines).encode())
    cut = packed[: int(len(packed) * share)]
    whole = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(cut).count(b"\n")
    path = tmp_path / "pings.gz"
    path.write_bytes(cut)
    expected = [(number, json.loads(line)) for number, line in enumerate(lines[:whole], 1)]
    assert whole > 100
    assert found(path) == [*expected, (whole + 1, None)]
    assert reasons(path)[0].startswith("the gzip data breaks off here")


def test_a_truncated_gzip_keeps_the_whole_documents_of_an_array(tmp_path):
    lines = lines_of(2000)
    packed = gzip.compress(b"[\n" + ",\n".join(lines).encode() + b"\n]\n")
    cut = packed[: len(packed) // 2]
    # The first line is the bracket, and each document has one of its own.
    whole = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(cut).count(b"\n") - 1
    path = tmp_path / "pings.gz"
    path.write_bytes(cut)
    expected = [(number, json.loads(line)) for number, line in enumerate(lines[:whole], 2)]
    assert found(path) == [*expected, (whole + 2, None)]


def test_a_gzip_without_content_after_its_magic_is_an_error_of_line_1(tmp_path):
    path = tmp_path / "pings.gz"
    path.write_bytes(b"\x1f\x8b")
    assert found(path) == [(1, None)]


def test_damaged_gzip_data_keep_what_came_before_the_damage(tmp_path):
    packed = gzip.compress(b'{"a": 1}\n')
    path = tmp_path / "pings.gz"
    path.write_bytes(packed + b"trailing")
    assert found(path) == [(1, {"a": 1}), (2, None)]
    path.write_bytes(packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:])
    assert found(path) == [(1, {"a": 1}), (2, None)]
    path.write_bytes(packed[:10] + b"\xff" * 20)  # no block of deflate begins so
    assert found(path) == [(1, None)]


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "pings.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"b": 2}\n'))
    assert found(path) == [(1, {"a": 1}), (2, {"b": 2})]


def test_a_line_over_the_limit_ends_the_reading(store):
    path = store(b'{"a": 1}\n{"b": "' + b"x" * 100 + b'"}\n{"c": 3}\n')
    assert found(path, limit=50) == [(1, {"a": 1}), (2, None)]
    assert reasons(path, limit=50)[0].startswith("longer than 50 bytes")
    assert [line for line, _ in found(path, limit=1000)] == [1, 2, 3]


def test_a_line_within_the_limit_is_read_whatever_the_size_of_the_file(store):
    content = b'{"a": 1}\n' * 1000
    assert found(store(content), limit=10) == [(line, {"a": 1}) for line in range(1, 1001)]


def test_a_document_over_the_limit_is_an_error_where_it_starts(store):
    path = store(b'\n{\n"a": "' + b"x" * 30 + b'",\n"b": "' + b"x" * 30 + b'"}')
    assert found(path, limit=60) == [(2, None)]
    assert reasons(path, limit=60)[0].startswith("longer than 60 bytes")
    size = len('{\n"a": "",\n"b": ""}') + 2 * 30
    assert found(path, limit=size - 1) == [(2, None)]
    assert found(path, limit=size) == [(2, {"a": "x" * 30, "b": "x" * 30})]


def test_a_broken_document_over_lines_is_an_error_where_it_breaks(store):
    path = store(b'{\n"a": 1\n"b": 2\n}\n')
    assert found(path) == [(3, None)]
    assert reasons(path)[0].startswith("not JSON: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": 1},\n{"b": 2}\n', [(1, {"a": 1}), (2, {"b": 2}), (2, None)]),
        (b'[\n{"a": 1}\n{"b": 2}\n]', [(2, {"a": 1}), (3, None)]),
        (b'[{"a": 1} {"b": 2}]', [(1, {"a": 1}), (1, None)]),
        (b'[{"a": 1},]', [(1, {"a": 1}), (1, None)]),
        (b"[\n", [(1, None)]),
        (b"{\n", [(1, None)]),
    ],
)
def test_an_unfinished_file_keeps_its_whole_documents(store, content, expected):
    assert found(store(content)) == expected


def test_a_line_that_is_no_text_breaks_the_document_it_is_in(store):
    path = store(b'{\n"a": 1}\n{\n"b": "\xff"')
    assert found(path) == [(1, {"a": 1}), (4, None)]
    assert "not UTF-8" in reasons(path)[0]


def test_a_file_of_pings_whose_first_lines_were_cut_off_loses_only_those(store):
    event, main = {"type": "event", "id": "a"}, {"type": "main", "id": "b"}
    whole = b'{"type": "event", "id": "a"}\n{"type": "main", "id": "b"}\n'
    assert found(store(b'{"x": 1,\n' + whole)) == [(1, None), (2, event), (3, main)]
    two = b'{"x": 1,\n{"y": 2,\n'
    assert found(store(two + whole)) == [(1, None), (2, None), (3, event), (4, main)]


def test_pings_one_a_line_may_follow_a_ping_laid_out(store):
    path = store(
        b'{\n"type": "main", "id": "a"\n}\n{"type": "event", "id": "b"}\n{"type": "event", "id"\n'
    )
    assert found(path) == [
        (1, {"type": "main", "id": "a"}),
        (4, {"type": "event", "id": "b"}),
        (5, None),
    ]


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        pytest.param(b'{"type": 3}', (1, {"a": {"type": 3}}), id="no id"),
        pytest.param(b'{"id": 3}', (1, {"a": {"id": 3}}), id="no type"),
        pytest.param(b'{"type": "event", "id"}', (2, None), id="broken"),
        pytest.param(b'{"type": "event", "id": %s}' % TOO_DEEP, (1, None), id="too deep"),
    ],
)
def test_a_line_within_a_document_is_not_taken_for_a_ping(store, inner, expected):
    assert found(store(b'{"a":\n' + inner + b"\n}\n")) == [expected]


def test_the_real_pings_are_one_document_each_plain_and_gzip():
    event = json.loads((DATA / "event.4.sample.json").read_text())
    main = json.loads(gzip.decompress((DATA / "main.4.sample.json.gz").read_bytes()))
    assert found(DATA / "event.4.sample.json") == [(1, event)]
    assert found(DATA / "main.4.sample.json.gz") == [(1, main)]


def test_a_file_is_streamed(store):
    documents = read_documents(store(b'{"a": 1}\n' * 3 + b"nonsense\n"))
    assert next(documents).ping == {"a": 1}
    assert [document.line for document in documents] == [2, 3, 4]


# The quick parser


def read_both_ways(text):
    """What the line gives by the quick parser, or None, and what by Python's own."""
    with pytest.MonkeyPatch.context() as patched:
        quick = module._quickly(text)
        patched.setattr(module, "_quickly", lambda _: None)
        careful = list(module._one_a_line([(1, text)]))
    return quick, careful


def is_read_alike(text):
    """Whether the quick parser left the line alone, or gave the same to the last type and sign."""
    quick, careful = read_both_ways(text)
    # Unlike == this tells 1 from 1.0 and True, 0.0 from -0.0, and one order of keys from another.
    return quick is None or [repr(d.ping) for d in careful] == [repr(quick)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
digits = st.integers(1, 25) | st.sampled_from([18, 19, 20, 4300, 4301])
literals = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    digits.flatmap(lambda n: st.from_regex(rf"[0-9]{{{n}}}", fullmatch=True)),
    st.just("") | st.from_regex(r"\.[0-9]{0,25}", fullmatch=True),
    st.just("") | st.from_regex(r"[eE][+-]?[0-9]{0,4}", fullmatch=True),
)


@given(st.dictionaries(st.text(), values, max_size=4), st.booleans())
def test_a_document_is_read_alike_quickly_and_with_care(document, ascii_only):
    assert is_read_alike(json.dumps(document, ensure_ascii=ascii_only).replace("\udfff", "x"))


@given(literals)
@example("-0")
@example("-0.0")
@example("9223372036854775808")
@example("18446744073709551616")
@example("-9223372036854775809")
@example("123456789012345678")
@example("1e400")
def test_a_number_is_read_alike_quickly_and_with_care(literal):
    assert is_read_alike(f'{{"a": {literal}}}')


@given(
    st.dictionaries(st.text(), values, max_size=3).map(json.dumps),
    st.integers(0, 200),
    st.integers(0, 3),
    st.text(
        st.sampled_from(list('{}[]",:0-eE.\\u d8\t\0\x0b\ufeff')) | st.characters(codec="utf-8")
    ),
)
def test_a_damaged_document_is_read_alike_quickly_and_with_care(text, at, cut, put):
    assert is_read_alike(text[:at] + put + text[at + cut :])


def test_tricky_names_and_histograms_are_read_alike_quickly_and_with_care():
    for text in [*tricky.NAMES, *filter(None, tricky.HISTOGRAMS)]:
        for line in (text, f'{{"a": {text}}}', f'{{"{text}": "{text}"}}', json.dumps({text: text})):
            assert is_read_alike(line)


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 1, "b": 2, "a": 3}',
        '{"a": "\\ud83d\\ude00", "b": "\\u0000\x7f\u2028"}',
        '{"a": 1}\r\n',
        '{"a": 1e-400, "b": 5e-324, "c": 0.1, "d": 999999999999999999e3}',
    ],
)
def test_what_two_parsers_might_differ_in_is_read_quickly_and_alike(line):
    quick, (careful,) = read_both_ways(line)
    assert repr(quick) == repr(careful.ping)


@pytest.mark.parametrize(
    "line",
    [
        ' {"a": 1}',
        '[{"a": 1}]',
        '{"a": 1234567890123456789}',
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"a": "\\ud800"}',
        '{"a": 1} {}',
        '{"a": ' + "[" * 200_000 + "]" * 200_000 + "}",
    ],
)
def test_what_the_quick_parser_would_differ_in_is_left_to_the_careful_one(line):
    assert module._quickly(line) is None


def test_the_real_pings_are_read_alike_quickly_and_with_care():
    event = json.loads((DATA / "event.4.sample.json").read_text())
    main = json.loads(gzip.decompress((DATA / "main.4.sample.json.gz").read_bytes()))
    for ping in (event, main):
        quick, (careful,) = read_both_ways(json.dumps(ping))
        assert repr(quick) == repr(careful.ping) == repr(ping)
