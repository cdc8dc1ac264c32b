SELECT
  time,
  branch,
  value
FROM `mozdata`.telemetry.experiment_enrollment_daily_active_population
WHERE
  time >= TIMESTAMP_MILLIS(${__from})
  AND time < TIMESTAMP_MILLIS(${__to})
  AND experiment = ${experiment:singlequote}
  AND branch IN UNNEST([${branch:singlequote}])
ORDER BY
  time,
  branch
