-- telemetry.experiment_cumulative_search_with_ads_count
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_cumulative_search_with_ads_count
OPTIONS (
  description='Search pages shown with ads up to the end of the window'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_search_with_ads_count_v1
