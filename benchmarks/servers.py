"""BigQuery's emulator, and a Cloud Storage server, as the tests start them."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent / "tests"


@contextlib.contextmanager
def running(project: str, *, with_storage: bool = False) -> Iterator[None]:
    """Both servers, or BigQuery alone; the environment says where, as Google's clients read it.

    The emulator's own extract jobs write to the other server.
    """
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    from emulators import launch

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ))
        if with_storage:
            os.environ["STORAGE_EMULATOR_HOST"] = stack.enter_context(launch.gcs()).url
        server = stack.enter_context(launch.bigquery(project))
        os.environ["BIGQUERY_EMULATOR_HOST"] = server.rest_url
        os.environ["BIGQUERY_STORAGE_EMULATOR_HOST"] = server.grpc_target
        yield
