-- telemetry_derived.experiment_health_v1
-- @time TIMESTAMP
-- @found ARRAY<STRUCT<experiment STRING, check_name STRING, branch STRING, verdict STRING, since TIMESTAMP, log_e FLOAT64, value FLOAT64, expected FLOAT64, sentence STRING, action STRING>>
/* earlier ones of the day stay */
SELECT
  time,
  experiment,
  check_name,
  branch,
  verdict,
  since,
  log_e,
  value,
  expected,
  sentence,
  action
FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_health_v1
WHERE
  time >= TIMESTAMP_TRUNC(@time, DAY) AND time < @time
UNION ALL
SELECT
  @time AS time,
  finding.experiment AS experiment,
  finding.check_name AS check_name,
  finding.branch AS branch,
  finding.verdict AS verdict,
  finding.since AS since,
  finding.log_e AS log_e,
  finding.value AS value,
  finding.expected AS expected,
  finding.sentence AS sentence,
  finding.action AS action
FROM UNNEST(@found) AS finding
