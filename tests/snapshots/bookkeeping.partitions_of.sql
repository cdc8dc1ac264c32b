-- partitions_of
/* the tables by name: without them all partitions are read */
SELECT
  CONCAT('moz-fx-data-shared-prod.telemetry_live.', table_name) AS place,
  COALESCE(partition_id, '') AS `partition`,
  total_rows AS `rows`,
  last_modified_time AS modified_at
FROM `moz-fx-data-shared-prod`.telemetry_live.INFORMATION_SCHEMA.PARTITIONS
WHERE
  table_name IN ('event_v4', 'main_v4')
  AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
UNION ALL
/* the tables by name: without them all partitions are read */
SELECT
  CONCAT('moz-fx-data-shared-prod.telemetry_stable.', table_name) AS place,
  COALESCE(partition_id, '') AS `partition`,
  total_rows AS `rows`,
  last_modified_time AS modified_at
FROM `moz-fx-data-shared-prod`.telemetry_stable.INFORMATION_SCHEMA.PARTITIONS
WHERE
  table_name IN ('main_v4')
  AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
UNION ALL
/* the tables by name: without them all partitions are read */
SELECT
  CONCAT('moz-fx-data-shared-prod.telemetry_derived.', table_name) AS place,
  COALESCE(partition_id, '') AS `partition`,
  total_rows AS `rows`,
  last_modified_time AS modified_at
FROM `moz-fx-data-shared-prod`.telemetry_derived.INFORMATION_SCHEMA.PARTITIONS
WHERE
  table_name IN ('event_events_v1', 'main_events_v1', 'clients_daily_v6')
  AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
UNION ALL
/* the tables by name: without them all partitions are read */
SELECT
  CONCAT('moz-fx-data-experiments.monitoring.', table_name) AS place,
  COALESCE(partition_id, '') AS `partition`,
  total_rows AS `rows`,
  last_modified_time AS modified_at
FROM `moz-fx-data-experiments`.monitoring.INFORMATION_SCHEMA.PARTITIONS
WHERE
  table_name IN ('experimenter_experiments_v1')
  AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
