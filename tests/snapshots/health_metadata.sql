-- health_metadata
-- @today DATE
WITH experiments AS (
  SELECT
    normandy_slug AS slug,
    LOGICAL_OR(is_rollout OR type = 'rollout') AS is_rollout,
    MAX(app_name) AS app_name,
    MAX(proposed_enrollment) AS proposed_enrollment,
    MIN(start_date) AS start_date,
    MAX(enrollment_end_date) AS enrollment_end_date,
    IF(LOGICAL_OR(end_date IS NULL), NULL, MAX(end_date)) AS end_date
  FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
  WHERE
    normandy_slug IS NOT NULL
  GROUP BY
    normandy_slug
), branches AS (
  SELECT
    normandy_slug AS slug,
    planned.slug AS branch,
    MAX(planned.ratio) AS ratio
  FROM `moz-fx-data-experiments`.monitoring.experimenter_experiments_v1
  CROSS JOIN UNNEST(branches) AS planned
  WHERE
    planned.slug IS NOT NULL
  GROUP BY
    normandy_slug,
    planned.slug
), chosen AS (
  SELECT
    slug,
    is_rollout,
    app_name,
    proposed_enrollment,
    start_date,
    enrollment_end_date,
    end_date
  FROM experiments
  WHERE
    start_date <= @today
    AND (
      end_date IS NULL OR end_date >= DATE_SUB(@today, INTERVAL 14 DAY)
    )
)
SELECT
  slug,
  is_rollout,
  app_name,
  proposed_enrollment,
  start_date,
  enrollment_end_date,
  end_date,
  CAST(NULL AS STRING) AS branch,
  CAST(NULL AS INT64) AS ratio
FROM chosen
UNION ALL
SELECT
  branches.slug,
  CAST(NULL AS BOOL) AS is_rollout,
  CAST(NULL AS STRING) AS app_name,
  CAST(NULL AS INT64) AS proposed_enrollment,
  CAST(NULL AS DATE) AS start_date,
  CAST(NULL AS DATE) AS enrollment_end_date,
  CAST(NULL AS DATE) AS end_date,
  branch,
  ratio
FROM branches
WHERE
  branches.slug IN (
    SELECT
      slug
    FROM chosen
  )
