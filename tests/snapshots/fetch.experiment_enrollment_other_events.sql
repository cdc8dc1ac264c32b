-- telemetry.experiment_enrollment_other_events
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  time,
  branch,
  experiment,
  event,
  value
FROM `mozdata`.telemetry.experiment_enrollment_other_events
WHERE
  experiment = @slug AND branch = @branch AND time >= @start AND time < @end
ORDER BY
  time,
  branch,
  event
