-- telemetry.experiment_cumulative_search_with_ads_count
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  time,
  branch,
  experiment,
  value
FROM `mozdata`.telemetry.experiment_cumulative_search_with_ads_count
WHERE
  experiment = @slug AND branch = @branch AND time >= @start AND time < @end
ORDER BY
  time,
  branch
