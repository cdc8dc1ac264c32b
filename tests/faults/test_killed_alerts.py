"""kill -9 between any two steps of `expmon alerts`: no message is lost, and none has two ids."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

import expmon
import receiving
from alerting import live_run
from expmon.health.delivery import receiver
from expmon.health.outbox import CLAIM, Outbox
from playing import at

T = at("2021-01-26T12:00")
TICK = timedelta(minutes=5)
SLUGS = ("a", "b", "c")
LAST = ("sql", "SELECT 'all is done, and the file not closed'")


@pytest.fixture
def watched_file(deployed_file, tmp_path):
    """A warehouse with an alarm in each of three experiments, of which nobody has heard."""
    path = shutil.copy(deployed_file, tmp_path / "watched.duckdb")
    with expmon.connect(f"duckdb://{path}") as monitor:
        live_run(monitor, T, *((slug, "split", "alarm") for slug in SLUGS))
    return path


def go_on(path, place, *, minutes=0):
    """The next `expmon alerts`, after a while, on the same file."""
    with expmon.connect(f"duckdb://{path}") as monitor:
        later = datetime.now(UTC) + timedelta(minutes=minutes)
        outbox = Outbox(monitor.warehouse, monitor.settings, T + TICK, lambda: later)
        return outbox.send(receiver(place), timedelta(0))


class ToFile:
    def __init__(self, directory):
        self.file = directory / "alerts.jsonl"
        self.place = str(self.file)

    def got(self):
        if not self.file.exists():
            return []
        return [json.loads(line)["experiment"] for line in self.file.read_text().splitlines()]

    def ids(self):
        return [json.loads(line)["id"] for line in self.file.read_text().splitlines()]

    def forget(self):
        self.file.unlink(missing_ok=True)


class ToWebhook:
    def __init__(self, hook):
        self.hook, self.place = hook, hook.url

    def got(self):
        return [request.body["experiment"] for request in self.hook.requests]

    def ids(self):
        return self.hook.ids

    def forget(self):
        self.hook.requests.clear()


@pytest.fixture(params=["file", pytest.param("webhook", marks=pytest.mark.enable_socket)])
def target(request, tmp_path):
    if request.param == "file":
        yield ToFile(tmp_path)
    else:
        with receiving.webhook() as hook:
            yield ToWebhook(hook)


def test_a_message_is_never_lost_and_comes_again_only_as_the_same(
    watched_file, processes, target, tmp_path
):
    path, alerts = tmp_path / "copy.duckdb", ("alerts", T, target.place)
    shutil.copy(watched_file, path)
    undisturbed = processes.run(path, alerts, LAST)
    assert (undisturbed.status, undisturbed.errors) == (0, [None, None])
    assert target.got() == list(SLUGS)
    wanted, seen = target.ids(), set()
    for number in range(len(undisturbed.points)):
        target.forget()
        (tmp_path / "copy.duckdb.wal").unlink(missing_ok=True)
        shutil.copy(watched_file, path)
        assert processes.run(path, alerts, LAST, kill_at=number).was_killed
        before = target.got()
        assert before == list(SLUGS)[: len(before)]
        # At first the messages may be claimed by the process that is gone; the next one takes them.
        go_on(path, target.place)
        go_on(path, target.place, minutes=CLAIM.total_seconds() / 60 + 1)
        after = target.got()[len(before) :]
        assert after in ([], list(SLUGS))
        assert set(target.ids()) == set(wanted)
        assert go_on(path, target.place).delivered == ()
        seen.add((len(before), len(after)))
    # Killed before the first, between them, after the last, and after they were marked.
    assert seen >= {(0, 3), (3, 3), (3, 0)}
