-- lease_holder
SELECT
  run_id,
  expires_at,
  expires_at > CURRENT_TIMESTAMP() AS is_held
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_lease_v1
