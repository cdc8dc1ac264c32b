"""The three schedules for Dagster: `dagster dev -f expmon_schedules.py`, after `expmon deploy`.

EXPMON_WAREHOUSE and EXPMON_STORE say where the tables and the exported files are.
"""

from datetime import timedelta

import dagster

import expmon

CRONS = {"live": "*/5 * * * *", "hourly": "30 * * * *", "daily": "0 3 * * *"}


def schedule(cadence: str) -> dagster.ScheduleDefinition:
    """The schedule of a job that waits for other runs, and is tried again twice."""

    @dagster.op(name=f"run_{cadence}", retry_policy=dagster.RetryPolicy(max_retries=2, delay=30))
    def run() -> None:
        with expmon.connect() as monitor:
            monitor.run(cadence, wait=timedelta(minutes=4))
            if cadence == "live":
                monitor.export_active()

    @dagster.job(name=f"expmon_{cadence}")
    def job() -> None:
        run()

    return dagster.ScheduleDefinition(
        job=job,
        cron_schedule=CRONS[cadence],
        execution_timezone="UTC",
        default_status=dagster.DefaultScheduleStatus.RUNNING,
    )


definitions = dagster.Definitions(schedules=[schedule(cadence) for cadence in CRONS])
