-- telemetry.experiment_enrollment_overall
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_overall
OPTIONS (
  description='Enrollments per window'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_overall_v1
