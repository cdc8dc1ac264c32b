-- remember
-- @written ARRAY<STRUCT<place STRING, relation STRING, `partition` STRING, job_id STRING, as_of TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP, `rows` INT64, bytes INT64>>
-- @expiring ARRAY<STRING>
-- @oldest STRING
MERGE INTO `moz-fx-data-shared-prod`.telemetry_derived.expmon_partitions_v1 AS memo
USING (
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
        'experiment_health_v1'
      )
      AND COALESCE(partition_id, '') NOT IN ('__NULL__', '__UNPARTITIONED__')
  )
  SELECT
    written.relation,
    written.`partition`,
    written.job_id,
    written.as_of,
    written.started_at,
    written.`rows`,
    written.bytes,
    IF(written.`rows` = 0, written.ended_at, there.modified_at) AS modified_at
  FROM UNNEST(@written) AS written
  LEFT JOIN there
    ON there.place = written.place AND there.`partition` = written.`partition`
) AS fresh
ON memo.relation = fresh.relation AND memo.`partition` = fresh.`partition`
WHEN MATCHED THEN UPDATE SET
  `job_id` = fresh.`job_id`,
  `as_of` = fresh.`as_of`,
  `started_at` = fresh.`started_at`,
  `rows` = fresh.`rows`,
  `bytes` = fresh.`bytes`,
  `modified_at` = fresh.`modified_at`
WHEN NOT MATCHED THEN INSERT (`relation`, `partition`, `job_id`, `as_of`, `started_at`, `rows`, `bytes`, `modified_at`) VALUES (
  fresh.`relation`,
  fresh.`partition`,
  fresh.`job_id`,
  fresh.`as_of`,
  fresh.`started_at`,
  fresh.`rows`,
  fresh.`bytes`,
  fresh.`modified_at`
)
WHEN NOT MATCHED BY SOURCE AND memo.relation IN UNNEST(@expiring) AND memo.`partition` < @oldest THEN DELETE
