-- telemetry.experiment_enrollment_daily_active_population
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_daily_active_population
OPTIONS (
  description='Active clients of a day; time is 00:00 UTC after that day'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_daily_active_population_v1
