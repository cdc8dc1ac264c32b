-- health_ratios
SELECT
  experiment,
  seen_at,
  last_seen_at,
  branch,
  ratio
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_ratios_v1
