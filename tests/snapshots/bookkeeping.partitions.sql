-- partitions
WITH there AS (
  /* the tables by name: without them all partitions are read */
  SELECT
    CONCAT('moz-fx-data-shared-prod.telemetry_derived.', table_name) AS place,
    COALESCE(partition_id, '') AS `partition`,
    total_rows AS `rows`,
    last_modified_time AS modified_at
  FROM `moz-fx-data-shared-prod`.telemetry_derived.INFORMATION_SCHEMA.PARTITIONS
  WHERE
    table_name IN (
      'experiment_enrollment_aggregates_v1',
      'experiment_enrollment_aggregates_hourly_v1',
      'experiment_enrollment_aggregates_recents_v1',
      'experiment_enrollment_aggregates_by_hour_v1',
      'experiment_search_aggregates_v1',
      'experiment_search_aggregates_hourly_v1',
      'experiment_search_aggregates_recents_v1',
      'experiment_search_aggregates_by_hour_v1',
      'experiments_daily_active_clients_v1',
      'experiment_enrollment_overall_v1',
      'experiment_unenrollment_overall_v1',
      'experiment_enrollment_other_events_overall_v1',
      'experiment_enrollment_cumulative_population_estimate_v1',
      'experiment_enrollment_daily_active_population_v1',
      'experiment_cumulative_ad_clicks_v1',
      'experiment_cumulative_search_count_v1',
      'experiment_cumulative_search_with_ads_count_v1',
      'experiment_enrollment_other_events_v1',
      'experiment_ratios_v1',
      'experiment_totals_v1',
      'experiment_health_v1',
      'event_events_v1',
      'main_events_v1',
      'clients_daily_v6'
    )
    AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
  UNION ALL
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
    CONCAT('moz-fx-data-experiments.monitoring.', table_name) AS place,
    COALESCE(partition_id, '') AS `partition`,
    total_rows AS `rows`,
    last_modified_time AS modified_at
  FROM `moz-fx-data-experiments`.monitoring.INFORMATION_SCHEMA.PARTITIONS
  WHERE
    table_name IN ('experimenter_experiments_v1')
    AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
)
SELECT
  relation,
  CAST(NULL AS STRING) AS place,
  `partition`,
  `rows`,
  modified_at,
  started_at,
  as_of
FROM `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1
UNION ALL
SELECT
  CAST(NULL AS STRING) AS relation,
  place,
  `partition`,
  `rows`,
  modified_at,
  CAST(NULL AS TIMESTAMP) AS started_at,
  CAST(NULL AS TIMESTAMP) AS as_of
FROM there
