-- lease_row
MERGE INTO `moz-fx-data-shared-prod`.telemetry_derived.expmon_lease_v1 AS lease
USING (
  SELECT
    1 AS number
) AS one
ON TRUE
WHEN NOT MATCHED THEN INSERT (run_id, expires_at) VALUES (NULL, NULL)
