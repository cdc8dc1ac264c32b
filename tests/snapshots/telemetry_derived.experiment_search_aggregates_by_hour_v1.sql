-- telemetry_derived.experiment_search_aggregates_by_hour_v1
-- @day DATE
WITH final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
), aggregates AS (
  SELECT
    window_start,
    experiment,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
  UNION ALL
  SELECT
    window_start,
    experiment,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
    AND DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
  UNION ALL
  SELECT
    window_start,
    experiment,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_recents_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
    AND DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
    AND TIMESTAMP_TRUNC(window_start, HOUR) NOT IN (
      SELECT
        hour
      FROM written_hours
    )
)
SELECT
  TIMESTAMP_TRUNC(window_start, HOUR) AS hour,
  experiment,
  SUM(search_count) AS search_count,
  SUM(search_with_ads_count) AS search_with_ads_count,
  SUM(ad_clicks_count) AS ad_clicks_count,
  MAX(window_start) AS last_window
FROM aggregates
GROUP BY
  hour,
  experiment
