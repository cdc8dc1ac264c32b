"""Put this file into Airflow's DAG folder: it gives three DAGs, live, hourly and daily.

Where the tables and files lie comes from EXPMON_WAREHOUSE and EXPMON_STORE, or from arguments:
build_dags("bigquery://my-project", "gs://my-bucket/monitoring", connection_id="my_google_account").
"""

from expmon.airflow import build_dags

live, hourly, daily = build_dags()
