-- first_time
-- @slug STRING
WITH times AS (
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_overall_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_unenrollment_overall_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_other_events_overall_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_daily_active_population_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_ad_clicks_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_search_count_v1
  WHERE
    experiment = @slug
  UNION ALL
  SELECT
    time
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_search_with_ads_count_v1
  WHERE
    experiment = @slug
)
SELECT
  MIN(time) AS time
FROM times
