-- telemetry_derived.events_live
CREATE OR REPLACE VIEW `moz-fx-data-shared-prod`.telemetry_derived.events_live
OPTIONS (
  description='One row per event of the live event pings; the timestamp is the submission timestamp'
) AS
/* a struct per process: one without events must not lose the others */
SELECT
  DATE(submission_timestamp) AS submission_date,
  submission_timestamp AS timestamp,
  event.f1_ AS event_category,
  event.f2_ AS event_method,
  event.f3_ AS event_object,
  event.f4_ AS event_string_value,
  event.f5_ AS event_map_values
FROM `moz-fx-data-shared-prod`.telemetry_live.event_v4
CROSS JOIN UNNEST([
  STRUCT(payload.events.content AS events),
  STRUCT(payload.events.dynamic AS events),
  STRUCT(payload.events.extension AS events),
  STRUCT(payload.events.gpu AS events),
  STRUCT(payload.events.parent AS events)
]) AS process
CROSS JOIN UNNEST(process.events) AS event
