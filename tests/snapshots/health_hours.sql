-- health_hours
-- @slugs ARRAY<STRING>
-- @start TIMESTAMP
-- @since TIMESTAMP
-- @end TIMESTAMP
WITH final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= @since
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
  WHERE
    window_start >= @since
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), aggregates AS (
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= @since AND window_start < @end AND experiment IN UNNEST(@slugs)
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
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
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_recents_v1
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
)
SELECT
  experiment,
  hour,
  enroll_count,
  unenroll_count,
  graduate_count,
  update_count,
  enroll_failed_count,
  unenroll_failed_count,
  update_failed_count,
  validation_failed_count,
  last_window
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_by_hour_v1
WHERE
  hour >= @start AND hour < @since AND experiment IN UNNEST(@slugs)
UNION ALL
SELECT
  experiment,
  TIMESTAMP_TRUNC(window_start, HOUR) AS hour,
  SUM(enroll_count) AS enroll_count,
  SUM(unenroll_count) AS unenroll_count,
  SUM(graduate_count) AS graduate_count,
  SUM(update_count) AS update_count,
  SUM(enroll_failed_count) AS enroll_failed_count,
  SUM(unenroll_failed_count) AS unenroll_failed_count,
  SUM(update_failed_count) AS update_failed_count,
  SUM(validation_failed_count) AS validation_failed_count,
  MAX(window_start) AS last_window
FROM aggregates
GROUP BY
  experiment,
  hour
