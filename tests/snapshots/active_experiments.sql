-- active_experiments
-- @today DATE
WITH experiments AS (
  SELECT
    normandy_slug AS slug,
    MAX(type) AS type,
    MAX(app_name) AS app_name,
    MAX(channel) AS channel,
    MIN(start_date) AS start_date,
    MAX(enrollment_end_date) AS enrollment_end_date,
    IF(LOGICAL_OR(end_date IS NULL), NULL, MAX(end_date)) AS end_date
  FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
  WHERE
    normandy_slug IS NOT NULL
  GROUP BY
    normandy_slug
)
SELECT
  slug,
  type,
  app_name,
  channel,
  start_date,
  enrollment_end_date,
  end_date
FROM experiments
WHERE
  start_date <= @today
  AND (
    end_date IS NULL OR end_date >= DATE_SUB(@today, INTERVAL 14 DAY)
  )
ORDER BY
  start_date,
  slug
