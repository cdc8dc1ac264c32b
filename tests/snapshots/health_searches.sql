-- health_searches
-- @slugs ARRAY<STRING>
-- @start TIMESTAMP
-- @since TIMESTAMP
-- @end TIMESTAMP
WITH final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  WHERE
    window_start >= @since
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    window_start >= @since
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), aggregates AS (
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  WHERE
    window_start >= @since AND window_start < @end AND experiment IN UNNEST(@slugs)
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    window_start >= @since
    AND window_start < @end
    AND experiment IN UNNEST(@slugs)
    AND DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_recents_v1
  WHERE
    window_start >= @since
    AND window_start < @end
    AND experiment IN UNNEST(@slugs)
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
), windows AS (
  SELECT
    experiment,
    last_window
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_by_hour_v1
  WHERE
    hour >= @start AND hour < @since AND experiment IN UNNEST(@slugs)
  UNION ALL
  SELECT
    experiment,
    window_start AS last_window
  FROM aggregates
)
SELECT
  experiment,
  MAX(last_window) AS last_window
FROM windows
GROUP BY
  experiment
