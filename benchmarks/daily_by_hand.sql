-- The work of a daily run, as one would write it for DuckDB alone: of the pings of one day, each
-- document's first arrival, counted into three tables. A document is found by the ids of its rows.
-- A histogram counts if all of its text is in one of the three shapes that it comes in.

CREATE OR REPLACE TABLE by_hand.enrollment AS
WITH
  first_event_pings AS (
    SELECT arg_min(rowid, submission_timestamp) AS id
    FROM telemetry_live.event_v4
    WHERE submission_timestamp >= $since AND submission_timestamp < $until
    GROUP BY document_id, CASE WHEN document_id IS NULL THEN rowid END
  ),
  first_main_pings AS (
    SELECT arg_min(rowid, submission_timestamp) AS id
    FROM telemetry_live.main_v4
    WHERE submission_timestamp >= $since AND submission_timestamp < $until
    GROUP BY document_id, CASE WHEN document_id IS NULL THEN rowid END
  ),
  pings AS (
    SELECT
      submission_timestamp,
      list_concat(
        payload.events.content, payload.events.dynamic, payload.events.extension,
        payload.events.gpu, payload.events.parent
      ) AS events
    FROM telemetry_live.event_v4
    WHERE
      submission_timestamp >= $since AND submission_timestamp < $until
      AND rowid IN (SELECT id FROM first_event_pings)
    UNION ALL
    SELECT
      submission_timestamp,
      list_concat(
        payload.processes.content.events, payload.processes.dynamic.events,
        payload.processes.extension.events, payload.processes.gpu.events,
        payload.processes.parent.events
      ) AS events
    FROM telemetry_live.main_v4
    WHERE
      submission_timestamp >= $since AND submission_timestamp < $until
      AND rowid IN (SELECT id FROM first_main_pings)
  ),
  events AS (
    SELECT
      time_bucket(INTERVAL 5 MINUTE, submission_timestamp) AS window_start,
      unnest(
        list_filter(events, lambda event: event.f1_ = 'normandy' AND event.f4_ IS NOT NULL)
      ) AS event
    FROM pings
  ),
  named AS (
    SELECT
      event.f3_ AS type,
      event.f4_ AS experiment,
      list_filter(event.f5_, lambda extra: extra.key = 'branch')[1].value AS branch,
      window_start,
      event.f2_ AS method
    FROM events
  )
SELECT
  type,
  experiment,
  branch,
  window_start,
  window_start + INTERVAL 5 MINUTE AS window_end,
  count(*) FILTER (method IN ('enroll', 'enrollment')) AS enroll_count,
  count(*) FILTER (method IN ('unenroll', 'unenrollment')) AS unenroll_count,
  count(*) FILTER (method = 'graduate') AS graduate_count,
  count(*) FILTER (method = 'update') AS update_count,
  count(*) FILTER (method = 'enrollFailed') AS enroll_failed_count,
  count(*) FILTER (method = 'unenrollFailed') AS unenroll_failed_count,
  count(*) FILTER (method = 'updateFailed') AS update_failed_count,
  count(*) FILTER (method = 'disqualification') AS disqualification_count,
  count(*) FILTER (method IN ('expose', 'exposure')) AS exposure_count,
  count(*) FILTER (method = 'validationFailed') AS validation_failed_count
FROM named
WHERE
  method IN (
    'enroll', 'enrollment', 'unenroll', 'unenrollment', 'graduate', 'update', 'enrollFailed',
    'unenrollFailed', 'updateFailed', 'disqualification', 'expose', 'exposure', 'validationFailed'
  )
GROUP BY type, experiment, branch, window_start;

CREATE OR REPLACE TABLE by_hand.search AS
WITH
  first_pings AS (
    SELECT arg_min(rowid, submission_timestamp) AS id
    FROM telemetry_live.main_v4
    WHERE submission_timestamp >= $since AND submission_timestamp < $until
    GROUP BY document_id, CASE WHEN document_id IS NULL THEN rowid END
  ),
  pings AS (
    SELECT
      environment.experiments AS experiments,
      time_bucket(INTERVAL 5 MINUTE, submission_timestamp) AS window_start,
      list_sum(
        list_transform(
          list_transform(
            payload.keyed_histograms.search_counts,
            lambda entry: try_cast(
              CASE
                WHEN starts_with(entry.value, '{')
                  THEN CASE
                    WHEN json_valid(entry.value) AND (
                      NOT regexp_matches(entry.value, ',\s*[\]}]|(?i:nan|inf)')
                      OR NOT regexp_matches(
                        regexp_replace(entry.value, '"(?:[^"\\]|\\.)*"', '""', 'g'),
                        ',\s*[\]}]|(?i:nan|inf)'
                      )
                    )
                      THEN json_extract_string(entry.value, '$.sum')
                  END
                WHEN contains(entry.value, ';')
                  THEN regexp_extract(
                    entry.value,
                    '^[0-9]+;[0-9]+;([0-9]{1,9});[0-9]+,[0-9]+;(?:[0-9]+:[0-9]+(?:,[0-9]+:[0-9]+)*)?$',
                    1
                  )
                ELSE regexp_extract(entry.value, '^(?:[0-9]+,)?([0-9]{1,9})$', 1)
              END AS BIGINT
            )
          ),
          lambda searches: CASE WHEN searches BETWEEN 0 AND 999999999 THEN searches END
        )
      ) AS search_count,
      list_sum(
        list_transform(
          payload.processes.parent.keyed_scalars.browser_search_with_ads,
          lambda entry: CASE WHEN entry.value BETWEEN 0 AND 999999999 THEN entry.value END
        )
      ) AS search_with_ads_count,
      list_sum(
        list_transform(
          payload.processes.parent.keyed_scalars.browser_search_ad_clicks,
          lambda entry: CASE WHEN entry.value BETWEEN 0 AND 999999999 THEN entry.value END
        )
      ) AS ad_clicks_count
    FROM telemetry_live.main_v4
    WHERE
      submission_timestamp >= $since AND submission_timestamp < $until
      AND rowid IN (SELECT id FROM first_pings)
  ),
  members AS (
    SELECT
      unnest(experiments) AS member,
      window_start,
      search_count,
      search_with_ads_count,
      ad_clicks_count
    FROM pings
  )
SELECT
  member.key AS experiment,
  member.value.branch AS branch,
  window_start,
  window_start + INTERVAL 5 MINUTE AS window_end,
  CAST(coalesce(sum(search_count), 0) AS BIGINT) AS search_count,
  CAST(coalesce(sum(search_with_ads_count), 0) AS BIGINT) AS search_with_ads_count,
  CAST(coalesce(sum(ad_clicks_count), 0) AS BIGINT) AS ad_clicks_count
FROM members
WHERE member.key IS NOT NULL
GROUP BY member.key, member.value.branch, window_start;

CREATE OR REPLACE TABLE by_hand.clients AS
WITH
  first_pings AS (
    SELECT arg_min(rowid, submission_timestamp) AS id
    FROM telemetry_live.main_v4
    WHERE submission_timestamp >= $since AND submission_timestamp < $until
    GROUP BY document_id, CASE WHEN document_id IS NULL THEN rowid END
  ),
  members AS (
    SELECT client_id, unnest(environment.experiments) AS member
    FROM telemetry_live.main_v4
    WHERE
      submission_timestamp >= $since AND submission_timestamp < $until
      AND client_id IS NOT NULL
      AND rowid IN (SELECT id FROM first_pings)
  )
SELECT
  CAST($since AS DATE) AS submission_date,
  member.key AS experiment_id,
  member.value.branch AS branch,
  count(DISTINCT client_id) AS active_clients
FROM members
WHERE member.key IS NOT NULL
GROUP BY member.key, member.value.branch;
