from __future__ import annotations

import json

from bs4 import BeautifulSoup

from expmon.report.html import document, h

HOSTILE = "</script><!--<script>&'\"<b>\u2028"


def test_texts_and_attributes_are_escaped():
    page = document(HOSTILE, [h("p", HOSTILE, h("i", "x"), HOSTILE, title=HOSTILE)], scripts=[])
    found = BeautifulSoup(page, "html.parser")
    assert found.title.string == HOSTILE
    assert found.p["title"] == HOSTILE
    assert found.p.get_text() == f"{HOSTILE}x{HOSTILE}"
    assert found.find_all("b") == []


def test_data_can_not_end_its_script():
    page = document("x", [], scripts=["run();"], data={HOSTILE: [HOSTILE]})
    assert page.count("</script>") == 2
    found = BeautifulSoup(page, "html.parser")
    told, run = found.find_all("script")
    assert json.loads(told.string) == {HOSTILE: [HOSTILE]}
    assert run.string == "run();"


def test_names_of_attributes_are_written_as_html_has_them():
    page = document("x", [h("p", class_="a", aria_label="b", data_x="c", hidden=None)], scripts=[])
    assert '<p class="a" aria-label="b" data-x="c"></p>' in page
