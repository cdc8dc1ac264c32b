-- telemetry_derived.experiment_search_aggregates_hourly_v1
-- @start TIMESTAMP
-- @end TIMESTAMP
WITH pings AS (
  /* each sum by itself: arrays joined with each other multiply their sums */
  SELECT
    environment.experiments AS experiments,
    TIMESTAMP_BUCKET(submission_timestamp, INTERVAL 5 MINUTE) AS window_start,
    COALESCE(
      (
        SELECT
          SUM(
            SAFE_CAST(COALESCE(
              REGEXP_EXTRACT(
                JSON_VALUE(SAFE.PARSE_JSON(entry.value, wide_number_mode => 'round'), '$.sum'),
                '^[0-9]{1,9}$'
              ),
              REGEXP_EXTRACT(entry.value, '^(?:[0-9]+,)?([0-9]{1,9})$'),
              REGEXP_EXTRACT(
                entry.value,
                '^[0-9]+;[0-9]+;([0-9]{1,9});[0-9]+,[0-9]+;(?:[0-9]+:[0-9]+(?:,[0-9]+:[0-9]+)*)?$'
              )
            ) AS INT64)
          )
        FROM UNNEST(payload.keyed_histograms.search_counts) AS entry
      ),
      0
    ) AS search_count,
    COALESCE(
      (
        SELECT
          SUM(IF(entry.value BETWEEN 0 AND 999999999, entry.value, NULL))
        FROM UNNEST(payload.processes.parent.keyed_scalars.browser_search_with_ads) AS entry
      ),
      0
    ) AS search_with_ads_count,
    COALESCE(
      (
        SELECT
          SUM(IF(entry.value BETWEEN 0 AND 999999999, entry.value, NULL))
        FROM UNNEST(payload.processes.parent.keyed_scalars.browser_search_ad_clicks) AS entry
      ),
      0
    ) AS ad_clicks_count
  FROM `moz-fx-data-shared-prod`.telemetry_live.main_v4
  WHERE
    submission_timestamp >= @start AND submission_timestamp < @end
)
SELECT
  member.key AS experiment,
  member.value.branch AS branch,
  window_start,
  TIMESTAMP_ADD(window_start, INTERVAL 5 MINUTE) AS window_end,
  SUM(search_count) AS search_count,
  SUM(search_with_ads_count) AS search_with_ads_count,
  SUM(ad_clicks_count) AS ad_clicks_count
FROM pings
CROSS JOIN UNNEST(experiments) AS member
WHERE
  member.key IS NOT NULL
GROUP BY
  experiment,
  branch,
  window_start
