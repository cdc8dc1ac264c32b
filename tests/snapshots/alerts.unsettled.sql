-- alerts_unsettled
WITH messages AS (
  SELECT
    id,
    kind,
    experiment,
    check_name,
    branch,
    time,
    since,
    sentence,
    action,
    claimed_until,
    delivered_at,
    MAX(time) OVER (PARTITION BY experiment, check_name) AS last_time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_alerts_v1
)
SELECT
  id,
  kind,
  experiment,
  check_name,
  branch,
  time,
  since,
  sentence,
  action,
  claimed_until,
  delivered_at
FROM messages
WHERE
  delivered_at IS NULL OR (
    kind = 'started' AND time = last_time
  )
