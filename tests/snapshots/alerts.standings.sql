-- alerts_standings
-- @start TIMESTAMP
-- @end TIMESTAMP
-- @opened ARRAY<STRUCT<experiment STRING, check_name STRING>>
WITH found AS (
  SELECT
    time,
    experiment,
    check_name,
    branch,
    verdict,
    since,
    sentence,
    action
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_health_v1
  WHERE
    time > @start AND time <= @end
), times AS (
  SELECT
    time
  FROM found
  UNION ALL
  /* it may find nothing */
  SELECT
    as_of AS time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
  WHERE
    relation = 'telemetry_derived.experiment_health_v1' AND as_of > @start AND as_of <= @end
), runs AS (
  SELECT DISTINCT
    time
  FROM times
), mattering AS (
  SELECT
    experiment,
    check_name
  FROM found
  WHERE
    verdict = 'alarm'
  UNION ALL
  SELECT
    opened.experiment AS experiment,
    opened.check_name AS check_name
  FROM UNNEST(@opened) AS opened
), watched AS (
  SELECT DISTINCT
    experiment,
    check_name
  FROM mattering
), starts AS (
  SELECT
    normandy_slug AS experiment,
    MIN(start_date) AS start_date
  FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
  WHERE
    normandy_slug IS NOT NULL
  GROUP BY
    normandy_slug
)
SELECT
  runs.time,
  watched.experiment,
  watched.check_name,
  found.branch,
  found.verdict,
  found.since,
  found.sentence,
  found.action,
  starts.start_date
FROM runs
LEFT JOIN watched
  ON TRUE
LEFT JOIN found
  ON found.time = runs.time
  AND found.experiment = watched.experiment
  AND found.check_name = watched.check_name
LEFT JOIN starts
  ON starts.experiment = watched.experiment
