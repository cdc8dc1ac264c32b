-- telemetry.experiment_cumulative_ad_clicks
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  time,
  branch,
  experiment,
  value
FROM `mozdata`.telemetry.experiment_cumulative_ad_clicks
WHERE
  experiment = @slug AND branch = @branch AND time >= @start AND time < @end
ORDER BY
  time,
  branch
