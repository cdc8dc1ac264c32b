-- telemetry.experiment_enrollment_cumulative_population_estimate
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_cumulative_population_estimate
OPTIONS (
  description='Clients enrolled at the end of the window: enrolled less unenrolled and graduated'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1
