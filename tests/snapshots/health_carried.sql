-- health_carried
-- @day DATE
SELECT
  experiment,
  start,
  finish,
  branch,
  is_planned,
  enroll_count,
  unenroll_count,
  graduate_count,
  update_count,
  enroll_failed_count,
  unenroll_failed_count,
  update_failed_count,
  validation_failed_count,
  compared,
  expected,
  log_null
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_totals_v1
WHERE
  day = @day
