from __future__ import annotations

import json
import os
import re
import threading
import time
from datetime import UTC, datetime
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import receiving
from expmon.errors import ConfigError, DeliveryError
from expmon.health.alerts import Message
from expmon.health.delivery import Webhook, receiver
from playing import at

T = at("2021-01-26T12:00")
LATER = datetime(2100, 1, 1, tzinfo=UTC)
MESSAGE = Message("id-1", "started", "exp", "split", "b", T, T, "Fünf\nfehlen.", "Look.")
OTHER = Message("id-2", "over", "exp", "split", "b", T, T, "All is well.", "")
BODY = {
    "schema_version": 1,
    "id": "id-1",
    "kind": "started",
    "experiment": "exp",
    "check": "split",
    "branch": "b",
    "time": "2021-01-26T12:00:00+00:00",
    "since": "2021-01-26T12:00:00+00:00",
    "sentence": "Fünf\nfehlen.",
    "action": "Look.",
    "text": "Alarm: exp, split. Fünf\nfehlen. Look. Since 2021-01-26 12:00 UTC.",
}


@pytest.fixture
def hook():
    with receiving.webhook() as found:
        yield found


@pytest.fixture
def deliver(hook):
    """To the webhook, with little patience."""
    return Webhook(hook.url, limit=5, timeout=0.5)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a certificate of this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, datetime(2021, 1, 1, tzinfo=UTC), LATER
    ).add_extension(alternative, critical=False)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def encrypted(certificate):
    """A webhook behind TLS."""
    with receiving.webhook(certificate=certificate) as found:
        yield found


def refused(deliver):
    """What the error says that a delivery ends with."""
    with pytest.raises(DeliveryError) as caught:
        deliver(MESSAGE)
    assert "secret" not in str(caught.value)
    return caught.value


# To stdout, and into a file


def test_stdout_gets_a_line_of_json_for_each(capsys):
    deliver = receiver("stdout")
    deliver(MESSAGE)
    deliver(OTHER)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == BODY
    assert json.loads(second)["id"] == "id-2"


def test_a_file_gets_a_line_of_json_for_each_and_keeps_what_it_has(tmp_path):
    file = tmp_path / "alerts.jsonl"
    file.write_text('{"id": "before"}\n')
    receiver(str(file))(MESSAGE)
    receiver(str(file))(OTHER)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["before", "id-1", "id-2"]
    assert lines[1] == BODY


def test_a_line_that_a_crash_has_torn_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "alerts.jsonl"
    file.write_text('{"id": "to')
    receiver(str(file))(MESSAGE)
    torn, whole = file.read_text().splitlines()
    assert (torn, json.loads(whole)) == ('{"id": "to', BODY)


def test_a_line_is_on_the_disk_when_it_is_delivered(tmp_path, monkeypatch):
    file, synced = tmp_path / "alerts.jsonl", []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    receiver(str(file))(MESSAGE)
    assert synced == [file.stat().st_size]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_without_room_is_an_error_that_says_so():
    with pytest.raises(DeliveryError, match=r"to /dev/full: No space left .* Make room there") as e:
        receiver("/dev/full")(MESSAGE)
    assert e.value.place == "/dev/full"


def test_a_line_without_room_is_not_left_half(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    file = tmp_path / "alerts.jsonl"
    receiver(str(file))(OTHER)
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(DeliveryError, match="No space left on device"):
            receiver(str(file))(MESSAGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before


@pytest.mark.parametrize("place", [".", "gone/alerts.jsonl"])
def test_a_file_that_cannot_be_written_is_an_error_that_says_so(place):
    with pytest.raises(DeliveryError, match="name a file that you may write to"):
        receiver(place)(MESSAGE)


# To a webhook


@pytest.mark.enable_socket
def test_a_webhook_gets_the_message_as_json_with_its_id(hook, deliver):
    deliver(MESSAGE)
    (request,) = hook.requests
    assert (request.method, request.path) == ("POST", "/hooks/secret?key=secret")
    assert request.body == BODY
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == "id-1"
    assert request.headers["User-Agent"] == "expmon"
    assert "Authorization" not in request.headers


@pytest.mark.enable_socket
def test_a_token_of_the_environment_is_sent_and_never_shown(hook, monkeypatch, tmp_path):
    # Of whom the machine knows for this host, it is not the credentials.
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("EXPMON_ALERTS_TOKEN", "t0p secret")
    deliver = receiver(hook.url)
    hook.answers = [receiving.status(401, "who are you?")]
    error = refused(deliver)
    assert hook.requests[0].headers["Authorization"] == "Bearer t0p secret"
    assert "401 Unauthorized: who are you?. Check the address, and EXPMON_ALERTS_T" in str(error)
    assert "secret" not in repr(deliver)


@pytest.mark.parametrize("token", ["a\nb", "ä", "a\x00"])
def test_a_token_that_no_header_may_have_is_refused_without_being_shown(monkeypatch, token):
    monkeypatch.setattr(os, "environ", {"EXPMON_ALERTS_TOKEN": token})
    with pytest.raises(ConfigError, match=r"^EXPMON_ALERTS_TOKEN has characters that no header m"):
        receiver("http://localhost/")


PASSING = {
    "500": receiving.status(500),
    "503": receiving.status(503, "busy"),
    "429": receiving.status(429),
    "408": receiving.status(408),
    "425": receiving.status(425),
    "closed": receiving.close,
    "reset": receiving.reset_after(b""),
    "reset within the status": receiving.reset_after(b"HTTP/1.1 200"),
    "reset within the headers": receiving.reset_after(b"HTTP/1.1 200 OK\r\nContent-"),
    "slow": receiving.slowly(1),
    "no HTTP": receiving.reset_after(b"hello\r\n\r\n"),
}


@pytest.mark.enable_socket
@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_by_itself_is_tried_again_with_the_same_id(hook, deliver, fault):
    hook.answers = [PASSING[fault], PASSING[fault]]
    deliver(MESSAGE)
    assert [request.headers["Idempotency-Key"] for request in hook.requests] == ["id-1"] * 3
    assert hook.requests[0].body == hook.requests[2].body == BODY
    first, second, third = (request.time for request in hook.requests)
    assert second - first >= 0.25
    assert third - second >= 0.5


@pytest.mark.enable_socket
def test_a_server_that_is_not_there_yet_is_tried_again():
    port = receiving.unused_port()
    deliver = Webhook(f"http://127.0.0.1:{port}/", limit=10, timeout=1)
    thread = threading.Thread(target=deliver, args=(MESSAGE,))
    thread.start()
    time.sleep(0.4)
    with receiving.webhook(port) as hook:
        thread.join()
        assert hook.ids == ["id-1"]


@pytest.mark.enable_socket
def test_what_was_taken_is_delivered_even_if_the_answer_breaks_off(hook, deliver):
    hook.answers = [receiving.reset_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")]
    deliver(MESSAGE)
    assert hook.ids == ["id-1"]


@pytest.mark.enable_socket
def test_an_answer_that_never_ends_is_not_waited_for(hook, deliver):
    hook.answers = [receiving.dripping(200, 0.1), receiving.dripping(400, 0.1)]
    deliver(MESSAGE)
    began = time.monotonic()
    assert "400" in refused(Webhook(hook.url, limit=1, timeout=0.5)).reason
    assert time.monotonic() - began < 3


@pytest.mark.enable_socket
@pytest.mark.parametrize("how", ["seconds", "date"])
def test_a_server_that_asks_to_wait_is_given_the_time(hook, deliver, how):
    asked = "2" if how == "seconds" else formatdate(time.time() + 3, usegmt=True)
    hook.answers = [receiving.status(429, Retry_After=asked)]
    deliver(MESSAGE)
    first, second = (request.time for request in hook.requests)
    assert 1.9 < second - first < 4


@pytest.mark.enable_socket
def test_who_asks_to_wait_for_longer_than_there_is_time_is_not_waited_for(hook, deliver):
    hook.answers = [receiving.status(503, Retry_After="3600")]
    began = time.monotonic()
    error = refused(deliver)
    assert time.monotonic() - began < 2
    assert "answered 503 Service Unavailable, and asks to wait 3600 seconds (tried 1" in str(error)


@pytest.mark.enable_socket
@pytest.mark.parametrize("asked", ["soon", "-5", "9" * 5000, "Mon, 99 Jan 99999 99:99:99 GMT"])
def test_a_wait_that_makes_no_sense_is_none(hook, deliver, asked):
    hook.answers = [receiving.status(503, Retry_After=asked)]
    deliver(MESSAGE)
    assert len(hook.requests) == 2


@pytest.mark.enable_socket
def test_who_never_takes_it_is_given_up_in_time(hook):
    hook.answers = [receiving.status(500)] * 100
    began = time.monotonic()
    error = refused(Webhook(hook.url, limit=2, timeout=0.5))
    assert time.monotonic() - began < 3
    assert len(hook.requests) >= 3
    assert re.fullmatch(
        r"an alert could not be delivered to 127\.0\.0\.1: it answered 500 Internal Server Error "
        rf"\(tried {len(hook.requests)} times\)\. See whether it is up and can be reached\. It "
        r"waits, and those after it: the next `expmon alerts` goes on with them\.",
        str(error),
    )


@pytest.mark.enable_socket
def test_who_is_not_there_is_said_without_the_address():
    error = refused(Webhook(f"http://127.0.0.1:{receiving.unused_port()}/secret", limit=0.5))
    assert "Connection refused" in error.reason


def test_an_address_that_cannot_be_is_said_at_once():
    error = refused(Webhook("http://*.example.com/secret"))
    assert (error.reason, error.place) == ("InvalidURL", "*.example.com")


@pytest.mark.enable_socket
@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 422])
def test_what_is_refused_is_not_tried_again_and_says_why(hook, deliver, code):
    hook.answers = [receiving.status(code, "no\n  such\tfield" + "x" * 1000)]
    error = refused(deliver)
    assert len(hook.requests) == 1
    assert error.reason.startswith(f"it answered {code} ")
    assert ": no such fieldxxx" in error.reason
    assert len(error.reason) < 300
    assert error.place == "127.0.0.1"


@pytest.mark.enable_socket
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirection_does_not_lose_the_message(hook, deliver, code):
    hook.answers = [receiving.status(code, Location=hook.url)]
    error = refused(deliver)
    assert len(hook.requests) == 1
    assert "Redirections are not followed: name where it is now." in str(error)


@pytest.mark.enable_socket
def test_a_server_whose_certificate_is_not_known_gets_nothing(encrypted):
    began = time.monotonic()
    error = refused(Webhook(encrypted.url))
    assert time.monotonic() - began < 2
    assert encrypted.requests == []
    assert "certificate verify failed" in error.reason
    assert "REQUESTS_CA_BUNDLE" in str(error)


@pytest.mark.enable_socket
def test_a_server_whose_certificate_is_known_gets_the_message(encrypted, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    Webhook(encrypted.url)(MESSAGE)
    assert encrypted.ids == ["id-1"]
