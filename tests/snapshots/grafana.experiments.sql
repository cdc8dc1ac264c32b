WITH names AS (
  SELECT
    experiment
  FROM `mozdata`.telemetry.experiment_enrollment_overall
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__from}), INTERVAL 2 DAY)
    AND time < TIMESTAMP_MILLIS(${__to})
  UNION ALL
  SELECT
    experiment
  FROM `mozdata`.telemetry.experiment_enrollment_daily_active_population
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__from}), INTERVAL 2 DAY)
    AND time < TIMESTAMP_MILLIS(${__to})
)
SELECT DISTINCT
  experiment AS text,
  REPLACE(REPLACE(REPLACE(REPLACE(experiment, '\\', '\\\\'), '\n', '\\n'), '\r', '\\r'), '$', '\\x24') AS value
FROM names
ORDER BY
  text
