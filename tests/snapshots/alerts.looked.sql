-- alerts_looked
WITH looked AS (
  SELECT
    as_of AS time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
  WHERE
    relation = 'telemetry_derived.experiment_alerts_v1'
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_alerts_v1
)
SELECT
  MAX(time) AS until
FROM looked
