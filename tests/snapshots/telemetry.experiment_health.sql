-- telemetry.experiment_health
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_health
OPTIONS (
  description='What the health checks found at each live run'
) AS
SELECT
  time,
  experiment,
  check_name,
  branch,
  verdict,
  since,
  log_e,
  value,
  expected,
  sentence,
  action
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_health_v1
