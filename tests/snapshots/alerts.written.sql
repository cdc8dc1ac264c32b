-- telemetry_derived.experiment_alerts_v1
-- @changed ARRAY<STRUCT<id STRING, kind STRING, experiment STRING, check_name STRING, branch STRING, time TIMESTAMP, since TIMESTAMP, sentence STRING, action STRING, claimed_until TIMESTAMP, delivered_at TIMESTAMP>>
-- @oldest TIMESTAMP
WITH changed AS (
  SELECT
    changed.id AS id,
    changed.kind AS kind,
    changed.experiment AS experiment,
    changed.check_name AS check_name,
    changed.branch AS branch,
    changed.time AS time,
    changed.since AS since,
    changed.sentence AS sentence,
    changed.action AS action,
    changed.claimed_until AS claimed_until,
    changed.delivered_at AS delivered_at
  FROM UNNEST(@changed) AS changed
), messages AS (
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
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_alerts_v1
  WHERE
    id NOT IN (
      SELECT
        id
      FROM changed
    )
  UNION ALL
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
  FROM changed
), placed AS (
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
  FROM messages
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
FROM placed
WHERE
  time >= @oldest OR delivered_at IS NULL OR time = last_time
