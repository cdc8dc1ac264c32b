-- telemetry.experiment_enrollment_other_events_overall
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_other_events_overall
OPTIONS (
  description='Graduations, updates and failures per window'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_other_events_overall_v1
