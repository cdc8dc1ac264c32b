-- plot_metadata
-- @slug STRING
SELECT
  normandy_slug AS slug,
  MIN(start_date) AS start_date,
  MAX(enrollment_end_date) AS enrollment_end_date,
  CAST(NULL AS STRING) AS relation,
  CAST(NULL AS STRING) AS latest_partition,
  CAST(NULL AS TIMESTAMP) AS as_of
FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
WHERE
  normandy_slug = @slug
GROUP BY
  normandy_slug
UNION ALL
SELECT
  CAST(NULL AS STRING) AS slug,
  CAST(NULL AS DATE) AS start_date,
  CAST(NULL AS DATE) AS enrollment_end_date,
  relation AS relation,
  MAX(`partition`) AS latest_partition,
  MAX(as_of) AS as_of
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
GROUP BY
  relation
