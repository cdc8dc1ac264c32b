-- export_series
-- @experiments ARRAY<STRUCT<slug STRING, start TIMESTAMP>>
-- @slugs ARRAY<STRING>
-- @earliest_start TIMESTAMP
-- @as_of TIMESTAMP
WITH experiments AS (
  SELECT
    experiment.slug AS slug,
    experiment.start AS start,
    @as_of > TIMESTAMP_ADD(experiment.start, INTERVAL 14 DAY) AS is_coarse
  FROM UNNEST(@experiments) AS experiment
), experiment_enrollment_overall AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    SUM(value) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_overall_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_unenrollment_overall AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    SUM(value) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_unenrollment_overall_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_enrollment_other_events_overall AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    SUM(value) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_other_events_overall_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_enrollment_cumulative_population_estimate AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    ANY_VALUE(value HAVING MAX time) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_enrollment_daily_active_population AS (
  SELECT
    experiment,
    branch,
    time AS point,
    value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_daily_active_population_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND experiment IN UNNEST(@slugs)
), experiment_cumulative_ad_clicks AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    ANY_VALUE(value HAVING MAX time) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_ad_clicks_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_cumulative_search_count AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    ANY_VALUE(value HAVING MAX time) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_search_count_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
), experiment_cumulative_search_with_ads_count AS (
  /* half hours that are not over are left out: no chart ends in a dip */
  SELECT
    experiment,
    branch,
    IF(
      is_coarse,
      TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE),
      time
    ) AS point,
    ANY_VALUE(value HAVING MAX time) AS value
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_search_with_ads_count_v1
  JOIN experiments
    ON experiment = slug
  WHERE
    time >= @earliest_start
    AND time >= start
    AND time < @as_of
    AND (
      NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE)
    )
    AND experiment IN UNNEST(@slugs)
  GROUP BY
    experiment,
    branch,
    point
)
SELECT
  'experiment_enrollment_overall' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_enrollment_overall
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_unenrollment_overall' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_unenrollment_overall
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_enrollment_other_events_overall' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_enrollment_other_events_overall
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_enrollment_cumulative_population_estimate' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_enrollment_cumulative_population_estimate
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_enrollment_daily_active_population' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_enrollment_daily_active_population
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_cumulative_ad_clicks' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_cumulative_ad_clicks
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_cumulative_search_count' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_cumulative_search_count
GROUP BY
  experiment
UNION ALL
SELECT
  'experiment_cumulative_search_with_ads_count' AS dataset,
  experiment,
  ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) ORDER BY point DESC, branch) AS points
FROM experiment_cumulative_search_with_ads_count
GROUP BY
  experiment
