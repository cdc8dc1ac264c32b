-- give_lease_back
-- @run_id STRING
UPDATE `moz-fx-data-shared-prod`.telemetry_derived.expmon_lease_v1 SET run_id = NULL, expires_at = NULL
WHERE
  run_id = @run_id
