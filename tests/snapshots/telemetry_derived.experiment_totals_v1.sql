-- telemetry_derived.experiment_totals_v1
-- @day DATE
-- @counted ARRAY<STRUCT<experiment STRING, start TIMESTAMP, finish TIMESTAMP, branch STRING, is_planned BOOL, enroll_count INT64, unenroll_count INT64, graduate_count INT64, update_count INT64, enroll_failed_count INT64, unenroll_failed_count INT64, update_failed_count INT64, validation_failed_count INT64, compared INT64, expected INT64, log_null INT64>>
SELECT
  @day AS day,
  counted.experiment AS experiment,
  counted.start AS start,
  counted.finish AS finish,
  counted.branch AS branch,
  counted.is_planned AS is_planned,
  counted.enroll_count AS enroll_count,
  counted.unenroll_count AS unenroll_count,
  counted.graduate_count AS graduate_count,
  counted.update_count AS update_count,
  counted.enroll_failed_count AS enroll_failed_count,
  counted.unenroll_failed_count AS unenroll_failed_count,
  counted.update_failed_count AS update_failed_count,
  counted.validation_failed_count AS validation_failed_count,
  counted.compared AS compared,
  counted.expected AS expected,
  counted.log_null AS log_null
FROM UNNEST(@counted) AS counted
