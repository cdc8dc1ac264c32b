-- telemetry.experiment_search_aggregates_live
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_search_aggregates_live
OPTIONS (
  description='Searches of the clients in experiments per experiment, branch and five-minute window: the three tiers as one, each window from exactly one of them'
) AS
SELECT
  experiment,
  branch,
  window_start,
  window_end,
  search_count,
  search_with_ads_count,
  ad_clicks_count,
  cumulative_search_count,
  cumulative_search_with_ads_count,
  cumulative_ad_clicks_count
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_search_aggregates_live_v1
