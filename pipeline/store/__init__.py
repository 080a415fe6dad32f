"""The data set on disk: tables of Parquet parts, one writer at a time, DuckDB views, what is missing, statistics."""
