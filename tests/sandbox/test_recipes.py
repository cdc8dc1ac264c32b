from __future__ import annotations

import json
import re
import time
from datetime import date
from pathlib import Path

import pytest

from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import PingError
from expmon.sandbox import read_recipes
from expmon.sandbox.recipes import recipe_row

DATA = Path(__file__).parents[1] / "data"

NOTHING = {
    "normandy_slug": "slug",
    "experimenter_slug": None,
    "type": "experiment",
    "status": "Draft",
    "start_date": None,
    "end_date": None,
    "enrollment_end_date": None,
    "proposed_enrollment": None,
    "reference_branch": None,
    "is_rollout": False,
    "branches": [],
    "app_name": None,
    "channel": None,
}
"""The row of a recipe that has a slug and nothing else."""


@pytest.fixture(params=["America/Los_Angeles", "Pacific/Auckland"])
def local_zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def store(tmp_path):
    """Writes a file of recipes, a document or bytes."""

    def write(content):
        path = tmp_path / "recipes.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def branches(**ratios):
    return [{"slug": slug.replace("_", "-"), "ratio": ratio} for slug, ratio in ratios.items()]


def live(slug, **fields):
    common = {"status": "Live", "app_name": "firefox_ios", "channel": "release"}
    return NOTHING | common | {"normandy_slug": slug, "reference_branch": "control"} | fields


def test_the_five_real_recipes_become_their_rows():
    rows, errors = read_recipes(DATA / "recipes.json")
    assert errors == []
    assert rows == [
        live(
            "ios-dma-onboarding",
            type="rollout",
            is_rollout=True,
            start_date=date(2024, 3, 5),
            proposed_enrollment=7,
            branches=branches(control=1),
        ),
        live(
            "long-term-holdback-2025-h1-growth-ios",
            start_date=date(2024, 12, 12),
            proposed_enrollment=100,
            reference_branch="holdback",
            branches=branches(delivery=19, holdback=1),
        ),
        live(
            "new-onboarding-experience-experiment-phase-1-ios",
            start_date=date(2025, 2, 24),
            enrollment_end_date=date(2025, 3, 11),
            proposed_enrollment=14,
            branches=branches(control=9, treatment_a=1),
        ),
        live(
            "new-onboarding-experience-experiment-phase-2-ios",
            start_date=date(2025, 3, 11),
            proposed_enrollment=14,
            branches=branches(control=5, treatment_a=5),
        ),
        live(
            "new-onboarding-experience-experiment-phase-3-ios",
            start_date=date(2025, 3, 24),
            proposed_enrollment=14,
            branches=branches(control=75, treatment_a=25),
        ),
    ]


def test_a_row_has_the_columns_of_the_experiments_table_in_order():
    assert tuple(recipe_row({"slug": "slug"})) == EXPERIMENTS.column_names


def test_a_recipe_may_have_nothing_but_a_slug():
    assert recipe_row({"slug": "slug"}) == NOTHING
    dates = ("startDate", "endDate", "enrollmentEndDate")
    others = ("experimenterSlug", "proposedEnrollment", "referenceBranch", "isRollout", "branches")
    nulls = dict.fromkeys((*dates, *others, "appName", "channel"))
    assert recipe_row({"slug": "slug"} | nulls) == NOTHING


def test_every_field_reaches_its_column():
    recipe = {
        "slug": "slug",
        "experimenterSlug": "experimenter",
        "startDate": "2021-01-01",
        "endDate": "2021-03-03",
        "enrollmentEndDate": "2021-02-02",
        "proposedEnrollment": 0,
        "referenceBranch": "b",
        "isRollout": True,
        "branches": [{"slug": "b", "ratio": 2**63 - 1}, {"slug": ""}],
        "appName": "fenix",
        "channel": "nightly",
    }
    assert recipe_row(recipe) == {
        "normandy_slug": "slug",
        "experimenter_slug": "experimenter",
        "type": "rollout",
        "status": "Complete",
        "start_date": date(2021, 1, 1),
        "end_date": date(2021, 3, 3),
        "enrollment_end_date": date(2021, 2, 2),
        "proposed_enrollment": 0,
        "reference_branch": "b",
        "is_rollout": True,
        "branches": [{"slug": "b", "ratio": 2**63 - 1}, {"slug": "", "ratio": None}],
        "app_name": "fenix",
        "channel": "nightly",
    }


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (None, None, "Draft"),
        ("2021-01-01", None, "Live"),
        ("2021-01-01", "2021-01-01", "Complete"),
        (None, "2021-01-01", "Complete"),
    ],
)
def test_the_status_follows_the_dates(start, end, status):
    row = recipe_row({"slug": "slug", "startDate": start, "endDate": end})
    assert row["status"] == status


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2021-01-26", date(2021, 1, 26)),
        ("2021-01-26T00:00:00.000000Z", date(2021, 1, 26)),
        ("2021-01-26T23:30:00-08:00", date(2021, 1, 27)),
        ("2021-01-26T00:30:00+01:00", date(2021, 1, 25)),
        ("2021-01-26T23:59:59", date(2021, 1, 26)),
        ("2021-01-26T00:00:00", date(2021, 1, 26)),
    ],
)
def test_a_time_is_its_day_in_utc_wherever_it_is_read(local_zone, written, day):
    row = recipe_row({"slug": "slug", "startDate": written})
    assert row["start_date"] == day
    assert type(row["start_date"]) is date


@pytest.mark.parametrize(
    "wrapped",
    [
        [{"slug": "slug"}],
        {"data": [{"slug": "slug"}]},
        {"data": [{"slug": "slug"}], "slug": "of the wrapper"},
        {"slug": "slug"},
    ],
)
def test_recipes_come_in_a_list_under_data_or_alone(store, wrapped):
    assert read_recipes(store(wrapped)) == ([NOTHING], [])


def test_a_byte_order_mark_is_no_part_of_the_file(store):
    assert read_recipes(store(b'\xef\xbb\xbf[{"slug": "slug"}]')) == ([NOTHING], [])


@pytest.mark.parametrize("empty", [[], {"data": []}])
def test_a_file_may_have_no_recipes(store, empty):
    assert read_recipes(store(empty)) == ([], [])


@pytest.mark.parametrize("content", [5, "slug", None, {}, {"data": {}}, {"data": None}])
def test_what_holds_no_recipes_is_refused(store, content):
    with pytest.raises(PingError, match="these are no recipes: expected a list, an object with"):
        read_recipes(store(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON: Expecting value (line 1)"),
        (b'[\n{"slug": "a"},\n{"slug" "b"}\n]', "not JSON: Expecting ':' delimiter (line 3)"),
        (b'[{"slug": "\xff"}]', "the file is not UTF-8 text (byte 11)"),
        (b"[" * 200_000 + b"]" * 200_000, "not JSON that can be read"),
        (b'[{"slug": "a", "proposedEnrollment": ' + b"9" * 5000 + b"}]", "not JSON that can be"),
    ],
    ids=["empty", "broken", "no text", "too deep", "too long a number"],
)
def test_a_file_that_is_no_json_is_refused_with_the_reason(store, content, reason):
    with pytest.raises(PingError, match=f"^{re.escape(reason)}"):
        read_recipes(store(content))


def test_a_file_that_is_not_there_is_refused_with_the_reason(tmp_path):
    with pytest.raises(PingError, match="the file can't be read: No such file or directory"):
        read_recipes(tmp_path / "missing")


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(PingError):
        read_recipes(Path("a\0b"))


def test_a_bad_recipe_costs_only_itself_and_says_its_place_and_slug(store):
    content = [
        {"slug": "first"},
        {"slug": "second", "branches": 5},
        5,
        {"slug": "x" * 1000, "channel": 1},
        {"slug": "a\x1b[2J\nb", "channel": 1},
        {"slug": "last"},
    ]
    rows, errors = read_recipes(store(content))
    assert [row["normandy_slug"] for row in rows] == ["first", "last"]
    assert [str(error) for error in errors] == [
        "recipe 1 ('second'): branches must be an array, not a number",
        "recipe 2: a recipe is a JSON object, not a number",
        f"recipe 3 ('{'x' * 80}'): channel must be a string, not a number",
        r"recipe 4 ('a\x1b[2J\nb'): channel must be a string, not a number",
    ]
    assert {type(error) for error in errors} == {PingError}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"slug": None}, "slug is missing or empty"),
        ({"slug": ""}, "slug is missing or empty"),
        ({"slug": 5}, "slug must be a string, not a number"),
        ({"slug": "x\ud800"}, "slug has half of a surrogate pair, which is no text"),
        ({"appName": ["fenix"]}, "appName must be a string, not an array"),
        ({"channel": True}, "channel must be a string, not a boolean"),
        ({"referenceBranch": {}}, "referenceBranch must be a string, not an object"),
        ({"isRollout": 1}, "isRollout must be a boolean, not a number"),
        ({"isRollout": "true"}, "isRollout must be a boolean, not a string"),
        ({"proposedEnrollment": "7"}, 'proposedEnrollment must be an integer, not "7"'),
        ({"proposedEnrollment": 7.0}, "proposedEnrollment must be an integer, not 7.0"),
        ({"proposedEnrollment": True}, "proposedEnrollment must be an integer, not true"),
        ({"proposedEnrollment": -1}, "proposedEnrollment must be from 0 to 9223372036854775807"),
        ({"proposedEnrollment": 2**63}, "proposedEnrollment must be from 0 to 9223372036854775807"),
        ({"startDate": 20210126}, "startDate must be a string, not a number"),
        ({"startDate": "soon"}, "startDate 'soon' is not a date like 2021-01-26"),
        ({"endDate": "2021-02-30"}, "endDate '2021-02-30' is not a date like 2021-01-26"),
        ({"enrollmentEndDate": ""}, "enrollmentEndDate '' is not a date like 2021-01-26"),
        (
            {"startDate": "0001-01-01T00:00:00+10:00"},
            "startDate '0001-01-01T00:00:00+10:00' is not",
        ),
        (
            {"startDate": "2021-01-26", "endDate": "2021-01-25"},
            "endDate 2021-01-25 is before startDate 2021-01-26",
        ),
        ({"branches": {"a": 1}}, "branches must be an array, not an object"),
        ({"branches": [{"slug": "a"}, "b"]}, "branches[1] must be an object, not a string"),
        ({"branches": [{"ratio": 1}]}, "branches[0].slug is missing"),
        ({"branches": [{"slug": 1}]}, "branches[0].slug must be a string, not a number"),
        ({"branches": [{"slug": "a", "ratio": 0.5}]}, "branches[0].ratio must be an integer"),
        ({"branches": [{"slug": "a", "ratio": -1}]}, "branches[0].ratio must be from 0 to"),
    ],
)
def test_a_recipe_with_a_wrong_field_is_refused_with_the_field(fields, reason):
    with pytest.raises(PingError, match=f"^{re.escape(reason)}"):
        recipe_row({"slug": "slug"} | fields)


@pytest.mark.parametrize("recipe", [None, "slug", ["slug"], 5.0])
def test_what_is_no_object_is_no_recipe(recipe):
    with pytest.raises(PingError, match="a recipe is a JSON object, not"):
        recipe_row(recipe)
