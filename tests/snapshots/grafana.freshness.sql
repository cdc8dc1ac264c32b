WITH latest AS (
  SELECT
    'experiment_enrollment_cumulative_population_estimate' AS dataset,
    MAX(time) AS time
  FROM `mozdata`.telemetry.experiment_enrollment_cumulative_population_estimate
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 2 DAY)
    AND time <= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 5 MINUTE)
  UNION ALL
  SELECT
    'experiment_cumulative_ad_clicks' AS dataset,
    MAX(time) AS time
  FROM `mozdata`.telemetry.experiment_cumulative_ad_clicks
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 2 DAY)
    AND time <= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 5 MINUTE)
  UNION ALL
  SELECT
    'experiment_cumulative_search_count' AS dataset,
    MAX(time) AS time
  FROM `mozdata`.telemetry.experiment_cumulative_search_count
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 2 DAY)
    AND time <= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 5 MINUTE)
  UNION ALL
  SELECT
    'experiment_cumulative_search_with_ads_count' AS dataset,
    MAX(time) AS time
  FROM `mozdata`.telemetry.experiment_cumulative_search_with_ads_count
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 2 DAY)
    AND time <= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__to}), INTERVAL 5 MINUTE)
)
SELECT
  dataset,
  TIMESTAMP_DIFF(TIMESTAMP_MILLIS(${__to}), TIMESTAMP_ADD(time, INTERVAL 5 MINUTE), SECOND) AS seconds
FROM latest
ORDER BY
  dataset
