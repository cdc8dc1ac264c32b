-- export_metadata
-- @today DATE
-- @start TIMESTAMP
-- @end TIMESTAMP
WITH experiments AS (
  SELECT
    normandy_slug AS slug,
    MIN(start_date) AS start_date,
    IF(LOGICAL_OR(end_date IS NULL), NULL, MAX(end_date)) AS end_date
  FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
  WHERE
    normandy_slug IS NOT NULL
  GROUP BY
    normandy_slug
), looked AS (
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
    time >= @start AND time <= @end
)
SELECT
  slug AS slug,
  start_date AS start_date,
  CAST(NULL AS STRING) AS relation,
  CAST(NULL AS STRING) AS latest_partition,
  CAST(NULL AS TIMESTAMP) AS as_of,
  CAST(NULL AS TIMESTAMP) AS past_as_of,
  CAST(NULL AS TIMESTAMP) AS time,
  CAST(NULL AS STRING) AS experiment,
  CAST(NULL AS STRING) AS check_name,
  CAST(NULL AS STRING) AS branch,
  CAST(NULL AS STRING) AS verdict,
  CAST(NULL AS TIMESTAMP) AS since,
  CAST(NULL AS FLOAT64) AS log_e,
  CAST(NULL AS FLOAT64) AS value,
  CAST(NULL AS FLOAT64) AS expected,
  CAST(NULL AS STRING) AS sentence,
  CAST(NULL AS STRING) AS action
FROM experiments
WHERE
  start_date <= @today
  AND (
    end_date IS NULL OR end_date >= DATE_SUB(@today, INTERVAL 14 DAY)
  )
UNION ALL
SELECT
  CAST(NULL AS STRING) AS slug,
  CAST(NULL AS DATE) AS start_date,
  relation AS relation,
  MAX(`partition`) AS latest_partition,
  MAX(as_of) AS as_of,
  MAX(IF(`partition` < FORMAT_DATE('%Y%m%d', @today), as_of, NULL)) AS past_as_of,
  CAST(NULL AS TIMESTAMP) AS time,
  CAST(NULL AS STRING) AS experiment,
  CAST(NULL AS STRING) AS check_name,
  CAST(NULL AS STRING) AS branch,
  CAST(NULL AS STRING) AS verdict,
  CAST(NULL AS TIMESTAMP) AS since,
  CAST(NULL AS FLOAT64) AS log_e,
  CAST(NULL AS FLOAT64) AS value,
  CAST(NULL AS FLOAT64) AS expected,
  CAST(NULL AS STRING) AS sentence,
  CAST(NULL AS STRING) AS action
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
GROUP BY
  relation
UNION ALL
SELECT
  CAST(NULL AS STRING) AS slug,
  CAST(NULL AS DATE) AS start_date,
  CAST(NULL AS STRING) AS relation,
  CAST(NULL AS STRING) AS latest_partition,
  CAST(NULL AS TIMESTAMP) AS as_of,
  CAST(NULL AS TIMESTAMP) AS past_as_of,
  time AS time,
  experiment AS experiment,
  check_name AS check_name,
  branch AS branch,
  verdict AS verdict,
  since AS since,
  log_e AS log_e,
  value AS value,
  expected AS expected,
  sentence AS sentence,
  action AS action
FROM looked
WHERE
  time = (
    SELECT
      MAX(time)
    FROM looked
  )
