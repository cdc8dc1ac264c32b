-- telemetry.experiment_enrollment_daily_active_population
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  time,
  branch,
  experiment,
  value
FROM `mozdata`.telemetry.experiment_enrollment_daily_active_population
WHERE
  experiment = @slug AND branch = @branch AND time >= @start AND time < @end
ORDER BY
  time,
  branch
