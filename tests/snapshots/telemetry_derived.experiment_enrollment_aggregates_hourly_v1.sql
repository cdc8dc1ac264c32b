-- telemetry_derived.experiment_enrollment_aggregates_hourly_v1
-- @start TIMESTAMP
-- @end TIMESTAMP
WITH events AS (
  /* an event is one row, however many extras it has */
  SELECT
    TIMESTAMP_BUCKET(timestamp, INTERVAL 5 MINUTE) AS window_start,
    event_object AS type,
    event_string_value AS experiment,
    (
      SELECT
        extra.value
      FROM UNNEST(event_map_values) AS extra WITH OFFSET AS position
      WHERE
        extra.key = 'branch'
      ORDER BY
        position
      LIMIT 1
    ) AS branch,
    event_method AS method
  FROM `moz-fx-data-shared-prod`.telemetry_derived.events_live
  WHERE
    timestamp >= @start AND timestamp < @end AND event_category = 'normandy'
)
SELECT
  type,
  experiment,
  branch,
  window_start,
  TIMESTAMP_ADD(window_start, INTERVAL 5 MINUTE) AS window_end,
  COUNTIF(method IN ('enroll', 'enrollment')) AS enroll_count,
  COUNTIF(method IN ('unenroll', 'unenrollment')) AS unenroll_count,
  COUNTIF(method = 'graduate') AS graduate_count,
  COUNTIF(method = 'update') AS update_count,
  COUNTIF(method = 'enrollFailed') AS enroll_failed_count,
  COUNTIF(method = 'unenrollFailed') AS unenroll_failed_count,
  COUNTIF(method = 'updateFailed') AS update_failed_count,
  COUNTIF(method = 'disqualification') AS disqualification_count,
  COUNTIF(method IN ('expose', 'exposure')) AS exposure_count,
  COUNTIF(method = 'validationFailed') AS validation_failed_count
FROM events
WHERE
  experiment IS NOT NULL
  AND method IN (
    'enroll',
    'enrollment',
    'unenroll',
    'unenrollment',
    'graduate',
    'update',
    'enrollFailed',
    'unenrollFailed',
    'updateFailed',
    'disqualification',
    'expose',
    'exposure',
    'validationFailed'
  )
GROUP BY
  type,
  experiment,
  branch,
  window_start
