-- telemetry.experiment_cumulative_ad_clicks
CREATE OR REPLACE VIEW `mozdata`.telemetry.experiment_cumulative_ad_clicks
OPTIONS (
  description='Ads clicked up to the end of the window'
) AS
SELECT
  time,
  branch,
  experiment,
  value
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_cumulative_ad_clicks_v1
