-- telemetry_derived.experiment_enrollment_daily_active_population_v1
-- @day DATE
WITH clients AS (
  SELECT
    COALESCE(branch, 'null') AS branch,
    experiment_id AS experiment,
    active_clients
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiments_daily_active_clients_v1
  WHERE
    submission_date = DATE_SUB(@day, INTERVAL 1 DAY)
)
SELECT
  TIMESTAMP(@day) AS time,
  branch,
  experiment,
  SUM(active_clients) AS value
FROM clients
GROUP BY
  branch,
  experiment
