-- lease_holder
SELECT
  run_id,
  expires_at
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_lease_v1
