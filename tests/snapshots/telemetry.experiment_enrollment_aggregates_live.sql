-- telemetry.experiment_enrollment_aggregates_live
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_aggregates_live
OPTIONS (
  description='Enrollment events per type, experiment, branch and five-minute window: the three tiers as one, each window from exactly one of them'
) AS
SELECT
  type,
  experiment,
  branch,
  window_start,
  window_end,
  enroll_count,
  unenroll_count,
  graduate_count,
  update_count,
  enroll_failed_count,
  unenroll_failed_count,
  update_failed_count,
  disqualification_count,
  exposure_count,
  validation_failed_count
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_live
