WITH points AS (
  SELECT
    TIMESTAMP_BUCKET(time, INTERVAL (DIV($__interval_ms, 60000)) MINUTE) AS point,
    time,
    branch,
    value
  FROM `mozdata`.telemetry.experiment_cumulative_search_count
  WHERE
    time >= TIMESTAMP_MILLIS(${__from})
    AND time < TIMESTAMP_MILLIS(${__to})
    AND experiment = ${experiment:singlequote}
    AND branch IN UNNEST([${branch:singlequote}])
)
SELECT
  point,
  branch,
  ANY_VALUE(value HAVING MAX time) AS value
FROM points
WHERE
  point >= TIMESTAMP_MILLIS(${__from})
  AND TIMESTAMP_ADD(point, INTERVAL (DIV($__interval_ms, 60000)) MINUTE) <= TIMESTAMP_MILLIS(${__to})
GROUP BY
  point,
  branch
ORDER BY
  point,
  branch
