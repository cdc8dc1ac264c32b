-- telemetry.experiment_enrollment_other_events_overall
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  time,
  branch,
  experiment,
  value
FROM `mozdata`.telemetry.experiment_enrollment_other_events_overall
WHERE
  experiment = @slug AND branch = @branch AND time >= @start AND time < @end
ORDER BY
  time,
  branch
