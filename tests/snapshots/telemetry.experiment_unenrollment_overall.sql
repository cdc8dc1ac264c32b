-- telemetry.experiment_unenrollment_overall
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_unenrollment_overall
OPTIONS (
  description='Unenrollments per window'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_unenrollment_overall_v1
