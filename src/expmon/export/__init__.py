"""JSON files for consoles without BigQuery access: what is in them, and where they are kept."""
