-- telemetry_derived.experiment_enrollment_aggregates_by_hour_v1
-- @day DATE
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
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    disqualification_count,
    exposure_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= TIMESTAMP(@day)
    AND window_start < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)
  UNION ALL
  SELECT
    window_start,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    disqualification_count,
    exposure_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
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
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    disqualification_count,
    exposure_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_recents_v1
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
  SUM(enroll_count) AS enroll_count,
  SUM(unenroll_count) AS unenroll_count,
  SUM(graduate_count) AS graduate_count,
  SUM(update_count) AS update_count,
  SUM(enroll_failed_count) AS enroll_failed_count,
  SUM(unenroll_failed_count) AS unenroll_failed_count,
  SUM(update_failed_count) AS update_failed_count,
  SUM(disqualification_count) AS disqualification_count,
  SUM(exposure_count) AS exposure_count,
  SUM(validation_failed_count) AS validation_failed_count,
  MAX(window_start) AS last_window
FROM aggregates
GROUP BY
  hour,
  experiment
