-- telemetry_derived.experiment_ratios_v1
-- @seen ARRAY<STRUCT<experiment STRING, seen_at TIMESTAMP, last_seen_at TIMESTAMP, branch STRING, ratio INT64>>
SELECT
  seen.experiment AS experiment,
  seen.seen_at AS seen_at,
  seen.last_seen_at AS last_seen_at,
  seen.branch AS branch,
  seen.ratio AS ratio
FROM UNNEST(@seen) AS seen
