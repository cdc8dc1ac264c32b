from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expmon.health.alerts import Message, Standing, messages
from expmon.health.finding import Verdict
from expmon.health_settings import HealthSettings
from playing import at

T = at("2021-01-26T12:00")
TICK = timedelta(minutes=5)
SETTINGS = HealthSettings()
WORDS = {
    "A": Verdict.ALARM,
    "S": Verdict.SUSPECT,
    "O": Verdict.OK,
    "N": Verdict.NOT_APPLICABLE,
    "?": Verdict.NOT_ENOUGH_DATA,
    "-": None,
}


def standings(verdicts, experiment="exp", check="split", **others):
    """How it stood every five minutes, a letter each: ``-`` is not reported."""
    return [
        Standing(T + n * TICK, experiment, check, WORDS[letter], **others)
        for n, letter in enumerate(verdicts)
    ]


def told(verdicts, configured=SETTINGS, **others):
    """At which of the live runs something is told: ``started`` as A, ``over`` as O."""
    found = messages(standings(verdicts, **others), {}, configured)
    letters = ["."] * len(verdicts)
    for message in found:
        letters[(message.time - T) // TICK] = {"started": "A", "over": "O"}[message.kind]
    return "".join(letters)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("", ""),
        ("OOO", "..."),
        ("AAA", "A.."),
        ("OAAO", ".A.O"),
        ("SSS", "..."),
        ("SAS", ".A."),
        ("ASSAO", "A...O"),
        ("ASO", "A.O"),
        ("AN", "AO"),
        ("A???A", "A...."),
        ("A?O", "A.O"),
        ("?OA?", "..A."),
        ("A-", "AO"),
        ("A-A-", "AOAO"),
        ("--A", "..A"),
        ("AOAOA", "AOAOA"),
        ("AOOSO", "AO..."),
    ],
)
def test_an_alarm_is_told_when_it_starts_and_when_it_is_over(verdicts, expected):
    assert told(verdicts) == expected


@pytest.mark.parametrize(
    ("muted", "is_told"),
    [
        ("exp", False),
        ("split", False),
        ("exp:split", False),
        ("other", True),
        ("failures", True),
        ("exp:failures", True),
        ("other:split", True),
        (":split", True),
    ],
)
def test_what_is_muted_does_not_start(muted, is_told):
    settings = HealthSettings(muted=frozenset({muted, "others"}))
    assert told("OAAO", settings) == (".A.O" if is_told else "....")


def test_what_is_about_all_experiments_is_muted_by_its_check_alone():
    for muted in ("freshness", ":freshness"):
        settings = HealthSettings(muted=frozenset({muted}))
        assert told("AO", settings, experiment="", check="freshness") == ".."
    assert told("AO", HealthSettings(muted=frozenset({"exp"})), experiment="") == "AO"


def test_what_was_open_before_it_was_muted_is_over_all_the_same():
    (start,) = messages(standings("A"), {}, SETTINGS)
    muted = HealthSettings(muted=frozenset({"exp"}))
    (over,) = messages(standings("AO"), {start.key: start}, muted)
    assert (over.kind, over.time) == ("over", T + TICK)


def test_nothing_starts_in_an_experiments_first_hours():
    settings = HealthSettings(holding_back=timedelta(hours=12, minutes=10))
    assert told("AAAAO", settings, start_date=date(2021, 1, 26)) == "..A.O"
    assert told("AAO", settings, start_date=date(2021, 1, 26)) == "..."
    assert told("AAO", settings, start_date=date(2021, 1, 25)) == "A.O"
    assert told("AAO", settings, start_date=date(2021, 1, 27)) == "..."
    assert told("AAO", settings) == "A.O"


def test_the_checks_of_an_experiment_and_the_experiments_are_told_apart():
    found = messages(
        [
            *standings("AOO", check="split"),
            *standings("OAA", check="failures"),
            *standings("AAO", "other"),
        ],
        {},
        SETTINGS,
    )
    assert [(m.kind, m.experiment, m.check, m.time) for m in found] == [
        ("started", "exp", "split", T),
        ("started", "other", "split", T),
        ("started", "exp", "failures", T + TICK),
        ("over", "exp", "split", T + TICK),
        ("over", "other", "split", T + 2 * TICK),
    ]


def test_a_message_says_what_was_found_and_what_to_do():
    since = T - timedelta(hours=1)
    looked = Standing(T, "exp", "split", Verdict.ALARM, "b", since, "Few in b.", "Look at it.")
    later = Standing(T + TICK, "exp", "split", Verdict.OK, "", T + TICK, "All is well.")
    start, over = messages([later, looked], {}, SETTINGS)
    assert start == Message(
        start.id, "started", "exp", "split", "b", T, since, "Few in b.", "Look at it."
    )
    assert over == Message(
        over.id, "over", "exp", "split", "b", T + TICK, since, "All is well.", ""
    )
    assert start.text == "Alarm: exp, split. Few in b. Look at it. Since 2021-01-26 11:00 UTC."
    assert over.text == (
        "Over: exp, split. All is well. It was an alarm since 2021-01-26 11:00 UTC."
    )
    assert json.loads(json.dumps(start.to_dict())) == {
        "schema_version": 1,
        "id": start.id,
        "kind": "started",
        "experiment": "exp",
        "check": "split",
        "branch": "b",
        "time": "2021-01-26T12:00:00+00:00",
        "since": "2021-01-26T11:00:00+00:00",
        "sentence": "Few in b.",
        "action": "Look at it.",
        "text": start.text,
    }


def test_what_is_no_longer_reported_is_over_in_words_that_say_so():
    *_, over = messages(standings("A-"), {}, SETTINGS)
    assert over.sentence == "The experiment is no longer watched."
    *_, over = messages(standings("A-", experiment=""), {}, SETTINGS)
    assert over.text.startswith("Over: all experiments, split. It is so no longer. It was an ")


def test_the_same_start_has_the_same_id_and_no_other_message_has_it():
    found = [
        m
        for key in (("a", "b"), ("a", "c"), ("b", "a"), ("", "b"), ("a:b", ""), ("a", "b,c"))
        for m in messages(standings("AOA-", *key), {}, SETTINGS)
    ]
    assert len({m.id for m in found}) == len(found) == 24
    again = messages(standings("AOA-", "a", "b"), {}, SETTINGS)
    assert again == found[:4]


KEYS = [("a", "split"), ("a", "failures"), ("b", "split"), ("", "freshness")]
unhurried = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
HISTORIES = st.lists(st.tuples(*(st.sampled_from("AAASON?-") for _ in KEYS)), max_size=30)


def history(columns):
    return [
        Standing(T + n * TICK, *key, WORDS[letter], start_date=date(2021, 1, 26))
        for n, letters in enumerate(columns)
        for key, letter in zip(KEYS, letters, strict=True)
    ]


def in_pieces(columns, cuts, configured):
    """What is told by one look after the other, each knowing only what the others have told."""
    ends, found = [*sorted(cuts), len(columns)], []
    for start, end in zip([0, *ends], ends, strict=False):
        last = {m.key: m for m in found}
        opened = {key: m for key, m in last.items() if m.kind == "started"}
        piece = [s for s in history(columns) if start <= (s.time - T) // TICK < end]
        found += messages(piece, opened, configured)
    return found


@unhurried
@given(columns=HISTORIES, cuts=st.lists(st.integers(0, 30)), hours=st.sampled_from([6, 13]))
def test_however_the_live_runs_are_looked_at_the_same_is_told(columns, cuts, hours):
    configured = HealthSettings(
        holding_back=timedelta(hours=hours), muted=frozenset({"a:failures"})
    )
    whole = messages(history(columns), {}, configured)
    assert in_pieces(columns, [c for c in cuts if c <= len(columns)], configured) == whole
    # The last live run again tells nothing again.
    last = {m.key: m for m in whole}
    opened = {key: m for key, m in last.items() if m.kind == "started"}
    again = [s for s in history(columns) if s.time == T + (len(columns) - 1) * TICK]
    assert messages(again, opened, configured) == []


@unhurried
@given(columns=HISTORIES)
def test_starts_and_ends_alternate_and_tell_of_what_was_found(columns):
    found = messages(history(columns), {}, SETTINGS)
    assert len({m.id for m in found}) == len(found)
    assert [m.time for m in found] == sorted(m.time for m in found)
    for place, key in enumerate(KEYS):
        own = [m for m in found if m.key == key]
        assert [m.kind for m in own] == (["started", "over"] * len(own))[: len(own)]
        letters = "".join(row[place] for row in columns)
        for message in own:
            letter = letters[(message.time - T) // TICK]
            assert letter in ("A" if message.kind == "started" else "ON-")
        # It is open at the end if what was last said clearly was an alarm.
        clear = letters.replace("?", "").rstrip("S")
        assert bool(len(own) % 2) == clear.endswith("A")
