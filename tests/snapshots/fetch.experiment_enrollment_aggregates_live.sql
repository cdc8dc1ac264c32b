-- telemetry.experiment_enrollment_aggregates_live
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
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
FROM `mozdata`.telemetry.experiment_enrollment_aggregates_live
WHERE
  experiment = @slug
  AND COALESCE(branch, 'null') = @branch
  AND window_start >= @start
  AND window_start < @end
ORDER BY
  window_start,
  branch,
  type
