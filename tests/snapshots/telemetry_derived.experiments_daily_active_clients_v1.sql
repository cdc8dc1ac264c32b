-- telemetry_derived.experiments_daily_active_clients_v1
-- @day DATE
SELECT
  submission_date,
  member.key AS experiment_id,
  member.value AS branch,
  COUNT(DISTINCT client_id) AS active_clients
FROM `moz-fx-data-shared-prod`.telemetry.clients_daily
CROSS JOIN UNNEST(experiments) AS member
WHERE
  submission_date = @day AND member.key IS NOT NULL
GROUP BY
  submission_date,
  experiment_id,
  branch
