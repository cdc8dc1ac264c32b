-- health_previous
-- @start TIMESTAMP
-- @end TIMESTAMP
WITH found AS (
  SELECT
    time,
    experiment,
    check_name,
    branch,
    verdict,
    since,
    log_e,
    value,
    expected,
    sentence,
    action
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_health_v1
  WHERE
    time >= @start AND time < @end
)
SELECT
  time,
  experiment,
  check_name,
  branch,
  verdict,
  since,
  log_e,
  value,
  expected,
  sentence,
  action
FROM found
WHERE
  time = (
    SELECT
      MAX(time)
    FROM found
  )
