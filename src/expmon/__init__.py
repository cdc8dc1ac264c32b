"""Watch browser experiments while they run, on BigQuery or on an embedded DuckDB."""

__version__ = "0.1.0"
