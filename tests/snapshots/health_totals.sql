-- health_totals
-- @phases ARRAY<STRUCT<slug STRING, number INT64, start TIMESTAMP, finish TIMESTAMP, branch STRING>>
-- @slugs ARRAY<STRING>
-- @start TIMESTAMP
-- @end TIMESTAMP
WITH phases AS (
  /* a row for each planned branch of each phase of an experiment */
  SELECT
    phase.slug AS slug,
    phase.number AS number,
    phase.start AS start,
    phase.finish AS finish,
    phase.branch AS branch
  FROM UNNEST(@phases) AS phase
), spans AS (
  SELECT DISTINCT
    slug,
    number,
    start,
    finish
  FROM phases
), final_days AS (
  /* a day that has a row here is taken from nowhere else */
  SELECT DISTINCT
    DATE(window_start) AS day
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= @start
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), written_hours AS (
  /* an hour of other days that has a row here is not recents' */
  SELECT DISTINCT
    TIMESTAMP_TRUNC(window_start, HOUR) AS hour
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
  WHERE
    window_start >= @start
    AND window_start < TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)
), aggregates AS (
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_v1
  WHERE
    window_start >= @start AND window_start < @end AND experiment IN UNNEST(@slugs)
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_hourly_v1
  WHERE
    window_start >= @start
    AND window_start < @end
    AND experiment IN UNNEST(@slugs)
    AND DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
  UNION ALL
  SELECT
    window_start,
    COALESCE(branch, 'null') AS branch,
    experiment,
    enroll_count,
    unenroll_count,
    graduate_count,
    update_count,
    enroll_failed_count,
    unenroll_failed_count,
    update_failed_count,
    validation_failed_count
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_aggregates_recents_v1
  WHERE
    window_start >= @start
    AND window_start < @end
    AND experiment IN UNNEST(@slugs)
    AND DATE(window_start) NOT IN (
      SELECT
        day
      FROM final_days
    )
    AND TIMESTAMP_TRUNC(window_start, HOUR) NOT IN (
      SELECT
        hour
      FROM written_hours
    )
), counts AS (
  SELECT
    experiment,
    branch,
    window_start,
    SUM(enroll_count) AS enroll_count,
    SUM(unenroll_count) AS unenroll_count,
    SUM(graduate_count) AS graduate_count,
    SUM(update_count) AS update_count,
    SUM(enroll_failed_count) AS enroll_failed_count,
    SUM(unenroll_failed_count) AS unenroll_failed_count,
    SUM(update_failed_count) AS update_failed_count,
    SUM(validation_failed_count) AS validation_failed_count
  FROM aggregates
  GROUP BY
    experiment,
    branch,
    window_start
), totals AS (
  SELECT
    counts.experiment,
    spans.number,
    counts.branch,
    SUM(enroll_count) AS enroll_count,
    SUM(unenroll_count) AS unenroll_count,
    SUM(graduate_count) AS graduate_count,
    SUM(update_count) AS update_count,
    SUM(enroll_failed_count) AS enroll_failed_count,
    SUM(unenroll_failed_count) AS unenroll_failed_count,
    SUM(update_failed_count) AS update_failed_count,
    SUM(validation_failed_count) AS validation_failed_count
  FROM counts
  JOIN spans
    ON counts.experiment = spans.slug
    AND counts.window_start >= spans.start
    AND counts.window_start < spans.finish
  GROUP BY
    counts.experiment,
    spans.number,
    counts.branch
), windows AS (
  /* windows in which somebody left */
  SELECT DISTINCT
    experiment,
    window_start
  FROM counts
  WHERE
    unenroll_count > 0
), present AS (
  SELECT
    population.experiment,
    phases.number,
    population.branch,
    population.time,
    COALESCE(counts.unenroll_count, 0) AS unenrolled,
    GREATEST(
      population.value + COALESCE(counts.unenroll_count, 0) + COALESCE(counts.graduate_count, 0),
      COALESCE(counts.unenroll_count, 0)
    ) AS clients
  FROM `moz-fx-data-shared-prod`.telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1 AS population
  JOIN windows
    ON population.experiment = windows.experiment AND population.time = windows.window_start
  JOIN phases
    ON population.experiment = phases.slug
    AND population.time >= phases.start
    AND population.time < phases.finish
    AND population.branch = phases.branch
  LEFT JOIN counts
    ON counts.experiment = population.experiment
    AND counts.window_start = population.time
    AND counts.branch = population.branch
  WHERE
    population.time >= @start
    AND population.time < @end
    AND population.experiment IN UNNEST(@slugs)
), shares AS (
  SELECT
    experiment,
    number,
    branch,
    unenrolled,
    SUM(unenrolled) OVER together AS left_together,
    clients / NULLIF(SUM(clients) OVER together, 0) AS share
  FROM present
  WINDOW together AS (PARTITION BY experiment, number, time)
), compared AS (
  SELECT
    experiment,
    number,
    branch,
    SUM(unenrolled) AS compared,
    SUM(CAST(ROUND(left_together * share * 1000000000) AS INT64)) AS expected,
    SUM(IF(unenrolled > 0, CAST(ROUND(unenrolled * LN(share) * 1000000000) AS INT64), 0)) AS log_null
  FROM shares
  GROUP BY
    experiment,
    number,
    branch
)
SELECT
  experiment,
  number,
  branch,
  COALESCE(totals.enroll_count, 0) AS enroll_count,
  COALESCE(totals.unenroll_count, 0) AS unenroll_count,
  COALESCE(totals.graduate_count, 0) AS graduate_count,
  COALESCE(totals.update_count, 0) AS update_count,
  COALESCE(totals.enroll_failed_count, 0) AS enroll_failed_count,
  COALESCE(totals.unenroll_failed_count, 0) AS unenroll_failed_count,
  COALESCE(totals.update_failed_count, 0) AS update_failed_count,
  COALESCE(totals.validation_failed_count, 0) AS validation_failed_count,
  COALESCE(compared.compared, 0) AS compared,
  COALESCE(compared.expected, 0) AS expected,
  COALESCE(compared.log_null, 0) AS log_null
FROM totals
FULL JOIN compared
  USING (experiment, number, branch)
