-- monitoring.experimenter_experiments_v1
-- @fresh ARRAY<STRUCT<`normandy_slug` STRING, `experimenter_slug` STRING, `type` STRING, `status` STRING, `start_date` DATE, `end_date` DATE, `enrollment_end_date` DATE, `proposed_enrollment` INT64, `reference_branch` STRING, `is_rollout` BOOL, `branches` ARRAY<STRUCT<slug STRING, ratio INT64>>, `app_name` STRING, `channel` STRING>>
-- @keys ARRAY<STRING>
MERGE INTO `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1 AS present
USING (
  SELECT
    fresh.`normandy_slug`,
    fresh.`experimenter_slug`,
    fresh.`type`,
    fresh.`status`,
    fresh.`start_date`,
    fresh.`end_date`,
    fresh.`enrollment_end_date`,
    fresh.`proposed_enrollment`,
    fresh.`reference_branch`,
    fresh.`is_rollout`,
    fresh.`branches`,
    fresh.`app_name`,
    fresh.`channel`
  FROM UNNEST(@fresh) AS fresh
) AS fresh
ON FALSE
WHEN NOT MATCHED BY SOURCE AND present.normandy_slug IN UNNEST(@keys) THEN DELETE
WHEN NOT MATCHED THEN INSERT (
  `normandy_slug`,
  `experimenter_slug`,
  `type`,
  `status`,
  `start_date`,
  `end_date`,
  `enrollment_end_date`,
  `proposed_enrollment`,
  `reference_branch`,
  `is_rollout`,
  `branches`,
  `app_name`,
  `channel`
) VALUES (
  fresh.`normandy_slug`,
  fresh.`experimenter_slug`,
  fresh.`type`,
  fresh.`status`,
  fresh.`start_date`,
  fresh.`end_date`,
  fresh.`enrollment_end_date`,
  fresh.`proposed_enrollment`,
  fresh.`reference_branch`,
  fresh.`is_rollout`,
  fresh.`branches`,
  fresh.`app_name`,
  fresh.`channel`
)
