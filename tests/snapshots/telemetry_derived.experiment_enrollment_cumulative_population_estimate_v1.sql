-- telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1
-- @day DATE
-- @latest_window TIMESTAMP
WITH final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
), aggregates AS (
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= TIMESTAMP(@day) AND window_start <= @latest_window
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start <= @latest_window
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
    graduate_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_recents_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start <= @latest_window
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
), changes AS (
  SELECT
    window_start,
    branch,
    experiment,
    SUM(enroll_count - unenroll_count - graduate_count) AS change
  FROM aggregates
  WHERE
    enroll_count > 0 OR unenroll_count > 0 OR graduate_count > 0
  GROUP BY
    window_start,
    branch,
    experiment
), opening_values AS (
  /* the last window of the day before */
  SELECT
    branch,
    experiment,
    value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1
  WHERE
    time = TIMESTAMP_SUB(TIMESTAMP(@day), INTERVAL 5 MINUTE)
), awake AS (
  /* experiments with a row on the day, or the 13 days before it */
  SELECT
    experiment
  FROM aggregates
  UNION DISTINCT
  SELECT
    experiment
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_by_hour_v1
  WHERE
    hour >= TIMESTAMP_SUB(TIMESTAMP(@day), INTERVAL 13 DAY) AND hour < TIMESTAMP(@day)
), first_windows AS (
  SELECT
    branch,
    experiment,
    TIMESTAMP(@day) AS first_window
  FROM opening_values
  UNION ALL
  SELECT
    branch,
    experiment,
    window_start AS first_window
  FROM changes
), series AS (
  /* experiments asleep have the latest window alone */
  SELECT
    first_windows.branch,
    first_windows.experiment,
    IF(awake.experiment IS NULL, @latest_window, MIN(first_windows.first_window)) AS first_window
  FROM first_windows
  LEFT JOIN awake
    ON first_windows.experiment = awake.experiment
  GROUP BY
    first_windows.branch,
    first_windows.experiment,
    awake.experiment
), windows AS (
  SELECT
    time,
    branch,
    experiment
  FROM series
  CROSS JOIN UNNEST(GENERATE_TIMESTAMP_ARRAY(first_window, @latest_window, INTERVAL 5 MINUTE)) AS time
)
SELECT
  windows.time,
  windows.branch,
  windows.experiment,
  COALESCE(opening_values.value, 0) + SUM(COALESCE(changes.change, 0)) OVER so_far AS value
FROM windows
LEFT JOIN opening_values
  ON windows.branch = opening_values.branch AND windows.experiment = opening_values.experiment
LEFT JOIN changes
  ON windows.time = changes.window_start
  AND windows.branch = changes.branch
  AND windows.experiment = changes.experiment
WINDOW so_far AS (PARTITION BY windows.experiment, windows.branch ORDER BY windows.time)
