-- search_drift
-- @start TIMESTAMP
-- @end TIMESTAMP
-- @days ARRAY<DATE>
WITH counts AS (
  SELECT
    DATE(window_start) AS day,
    experiment,
    FALSE AS is_final,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    window_start >= @start AND window_start < @end AND DATE(window_start) IN UNNEST(@days)
  UNION ALL
  SELECT
    DATE(window_start) AS day,
    experiment,
    TRUE AS is_final,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  WHERE
    window_start >= @start AND window_start < @end AND DATE(window_start) IN UNNEST(@days)
)
SELECT
  day,
  experiment,
  entry.measure AS measure,
  SUM(IF(is_final, 0, entry.value)) AS live,
  SUM(IF(is_final, entry.value, 0)) AS final
FROM counts
CROSS JOIN UNNEST([
  STRUCT('search_count' AS measure, search_count AS value),
  STRUCT('search_with_ads_count' AS measure, search_with_ads_count AS value),
  STRUCT('ad_clicks_count' AS measure, ad_clicks_count AS value)
]) AS entry
WHERE
  entry.value > 0
GROUP BY
  day,
  experiment,
  measure
