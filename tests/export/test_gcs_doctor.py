"""What `expmon doctor` finds of a bucket."""

from __future__ import annotations

import pytest

from emulators.proxy import Fault
from expmon.errors import ConfigError
from expmon.export import gcs_doctor
from expmon.export.gcs import BucketFacts, GCSStore
from expmon.findings import Finding

pytestmark = pytest.mark.enable_socket

OLD = "replaced files"
ROBOT = "robot@p.iam.gserviceaccount.com"
PERMISSIONS = [f"storage.objects.{what}" for what in ("create", "delete", "get", "list")]
GET_BUCKET = r"/b/[^/?]+(\?|$)"


class Robot:
    """Credentials that say whose they are."""

    service_account_email = ROBOT


class Told(GCSStore):
    """A store whose bucket is as it is told."""

    def __init__(self, facts):
        super().__init__("b", "", credentials=Robot)
        self.told = facts

    def facts(self):
        if isinstance(self.told, BucketFacts):
            return self.told
        raise self.told


def found(*facts):
    return Told(BucketFacts(*facts)).examine()


def test_of_a_good_bucket_all_is_fine():
    assert found("US", 0, False, ()) == [
        Finding("bucket b", "ok", "in US"),
        Finding(OLD, "ok", "neither soft delete nor versioning keeps them"),
        Finding(
            "permissions on the bucket", "ok", "files may be read, listed, written and replaced"
        ),
    ]


def test_what_keeps_replaced_files_is_a_warning_with_the_command():
    assert found("US", 7 * 86_400, True, ())[1:-1] == [
        Finding(
            OLD,
            "warning",
            "soft delete keeps, and bills, every file that is replaced for 7 days",
            "gcloud storage buckets update gs://b --clear-soft-delete",
        ),
        Finding(
            OLD,
            "warning",
            "versioning keeps, and bills, every file that is replaced, for good unless a rule of "
            "the bucket deletes old versions",
            "gcloud storage buckets update gs://b --no-versioning",
        ),
    ]


def test_what_the_account_may_not_know_is_unknown():
    bucket, old, permissions = found(None, None, None, None)
    assert bucket.verdict == "ok"
    assert "storage.buckets.get" in bucket.detail
    assert old == Finding(OLD, "unknown", "soft delete and versioning: the bucket doesn't tell")
    assert permissions.verdict == "unknown"


def test_half_of_a_day_is_no_whole_one():
    assert found("US", 43_200, False, ())[1].detail.endswith("for 0.5 days")


def test_missing_permissions_are_named_with_the_role():
    finding = found("US", 0, False, ("storage.objects.delete",))[-1]
    assert finding == Finding(
        "permissions on the bucket",
        "missing",
        "no storage.objects.delete",
        "Someone who manages b runs: gcloud storage buckets add-iam-policy-binding gs://b "
        f"--member=serviceAccount:{ROBOT} --role=roles/storage.objectUser",
    )


def test_without_credentials_nothing_is_asked_and_one_line_says_so():
    credentials, rest = Told(ConfigError("none")).examine()
    assert (credentials.subject, credentials.verdict) == ("Google credentials", "missing")
    assert rest == Finding(
        "Cloud Storage, the rest",
        "unknown",
        "not checked without Google credentials: bucket b, replaced files, "
        "permissions on the bucket",
    )


def test_a_bucket_that_is_not_there_is_made_so_that_it_keeps_nothing(connect_gcs, gcs_server):
    store = connect_gcs(gcs_server.url)
    store.bucket = "expmon-nowhere"
    bucket, rest = store.examine()
    assert (bucket.subject, bucket.verdict) == ("bucket expmon-nowhere", "missing")
    assert bucket.remedy == (
        "gcloud storage buckets create gs://expmon-nowhere --soft-delete-duration=0"
    )
    assert rest.detail.endswith("bucket expmon-nowhere: replaced files, permissions on the bucket")


def test_the_server_is_asked_and_nothing_is_changed(proxied, proxy, bucket):
    settings = {
        "name": bucket.name,
        "location": "EU",
        "softDeletePolicy": {"retentionDurationSeconds": "86400"},
        "versioning": {"enabled": False},
    }
    proxy.add(
        Fault("GET", "/iam/testPermissions", status=200, document={"permissions": PERMISSIONS}),
        Fault("GET", GET_BUCKET, status=200, document=settings),
    )
    assert [(f.subject, f.verdict) for f in proxied.examine()] == [
        (f"bucket {bucket.name}", "ok"),
        (OLD, "warning"),
        ("permissions on the bucket", "ok"),
    ]
    assert {request.method for request in proxy.requests} == {"GET"}
    assert proxy.left == []


def test_a_bucket_that_does_not_answer_is_missing_in_its_own_words(proxied, proxy):
    proxy.add(Fault(action="cut", count=10_000))
    proxied._patience = 0.2
    bucket, rest = proxied.examine()
    assert (bucket.verdict, rest.verdict) == ("missing", "unknown")
    assert "can't be reached" in bucket.detail
    assert bucket.remedy == ""


def test_the_members_name_is_left_open_where_nobody_knows_it():
    facts = BucketFacts("US", 0, False, ("storage.objects.get",))
    finding = gcs_doctor.examine(Told(facts), object)[-1]
    assert "--member=user:YOUR_EMAIL" in finding.remedy
