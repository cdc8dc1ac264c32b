-- telemetry_derived.experiment_search_aggregates_live_v1
CREATE OR REPLACE VIEW `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_live_v1
OPTIONS (
  description='Searches of the clients in experiments per experiment, branch and five-minute window: the three tiers as one, each window from exactly one of them'
) AS
WITH final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
), aggregates AS (
  SELECT
    experiment,
    branch,
    window_start,
    window_end,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_v1
  UNION ALL
  SELECT
    experiment,
    branch,
    window_start,
    window_end,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_hourly_v1
  WHERE
    DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
  UNION ALL
  SELECT
    experiment,
    branch,
    window_start,
    window_end,
    search_count,
    search_with_ads_count,
    ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_recents_v1
  WHERE
    DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
    AND TIMESTAMP_TRUNC(window_start, HOUR) NOT IN (
      SELECT
        hour
      FROM written_hours
    )
)
SELECT
  experiment,
  branch,
  window_start,
  window_end,
  search_count,
  search_with_ads_count,
  ad_clicks_count,
  SUM(search_count) OVER so_far AS cumulative_search_count,
  SUM(search_with_ads_count) OVER so_far AS cumulative_search_with_ads_count,
  SUM(ad_clicks_count) OVER so_far AS cumulative_ad_clicks_count
FROM aggregates
WINDOW so_far AS (PARTITION BY experiment, branch ORDER BY window_start)
