-- take_lease
-- @run_id STRING
-- @seconds INT64
UPDATE `moz-fx-data-shared-prod`.telemetry_derived.expmon_lease_v1 SET run_id = @run_id, expires_at = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL (@seconds) SECOND)
WHERE
  run_id IS NULL OR run_id = @run_id OR expires_at <= CURRENT_TIMESTAMP()
