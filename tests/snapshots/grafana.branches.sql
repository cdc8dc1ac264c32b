WITH names AS (
  SELECT
    branch
  FROM `mozdata`.telemetry.experiment_enrollment_overall
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__from}), INTERVAL 2 DAY)
    AND time < TIMESTAMP_MILLIS(${__to})
    AND experiment = ${experiment:singlequote}
  UNION ALL
  SELECT
    branch
  FROM `mozdata`.telemetry.experiment_enrollment_daily_active_population
  WHERE
    time >= TIMESTAMP_SUB(TIMESTAMP_MILLIS(${__from}), INTERVAL 2 DAY)
    AND time < TIMESTAMP_MILLIS(${__to})
    AND experiment = ${experiment:singlequote}
)
SELECT DISTINCT
  branch AS text,
  REPLACE(REPLACE(REPLACE(REPLACE(branch, '\\', '\\\\'), '\n', '\\n'), '\r', '\\r'), '$', '\\x24') AS value
FROM names
ORDER BY
  text
