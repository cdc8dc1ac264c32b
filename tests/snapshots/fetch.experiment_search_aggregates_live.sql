-- telemetry.experiment_search_aggregates_live
-- @slug STRING
-- @branch STRING
-- @start TIMESTAMP
-- @end TIMESTAMP
SELECT
  experiment,
  branch,
  window_start,
  window_end,
  search_count,
  search_with_ads_count,
  ad_clicks_count,
  cumulative_search_count,
  cumulative_search_with_ads_count,
  cumulative_ad_clicks_count
FROM `mozdata`.telemetry.experiment_search_aggregates_live
WHERE
  experiment = @slug
  AND COALESCE(branch, 'null') = @branch
  AND window_start >= @start
  AND window_start < @end
ORDER BY
  window_start,
  branch
