-- enrollment_drift
-- @start TIMESTAMP
-- @end TIMESTAMP
-- @days ARRAY<DATE>
WITH counts AS (
  SELECT
    DATE(window_start) AS day,
    experiment,
    FALSE AS is_final,
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
    window_start >= @start AND window_start < @end AND DATE(window_start) IN UNNEST(@days)
  UNION ALL
  SELECT
    DATE(window_start) AS day,
    experiment,
    TRUE AS is_final,
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
  STRUCT('enroll_count' AS measure, enroll_count AS value),
  STRUCT('unenroll_count' AS measure, unenroll_count AS value),
  STRUCT('graduate_count' AS measure, graduate_count AS value),
  STRUCT('update_count' AS measure, update_count AS value),
  STRUCT('enroll_failed_count' AS measure, enroll_failed_count AS value),
  STRUCT('unenroll_failed_count' AS measure, unenroll_failed_count AS value),
  STRUCT('update_failed_count' AS measure, update_failed_count AS value),
  STRUCT('disqualification_count' AS measure, disqualification_count AS value),
  STRUCT('exposure_count' AS measure, exposure_count AS value),
  STRUCT('validation_failed_count' AS measure, validation_failed_count AS value)
]) AS entry
WHERE
  entry.value > 0
GROUP BY
  day,
  experiment,
  measure
