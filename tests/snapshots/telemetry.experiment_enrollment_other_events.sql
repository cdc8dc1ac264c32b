-- telemetry.experiment_enrollment_other_events
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_enrollment_other_events
OPTIONS (
  description='Every other event per window: all but enrollments and unenrollments, by kind'
) AS
SELECT
  time,
  branch,
  experiment,
  event,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_other_events_v1
