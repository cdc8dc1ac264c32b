-- export_metadata
-- @today DATE
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
)
SELECT
  slug,
  start_date,
  CAST(NULL AS STRING) AS relation,
  CAST(NULL AS STRING) AS latest_partition,
  CAST(NULL AS TIMESTAMP) AS as_of,
  CAST(NULL AS TIMESTAMP) AS past_as_of
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
  relation,
  MAX(`partition`) AS latest_partition,
  MAX(as_of) AS as_of,
  MAX(IF(`partition` < FORMAT_DATE('%Y%m%d', @today), as_of, NULL)) AS past_as_of
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
GROUP BY
  relation
