"""The data set on disk: Parquet parts, one writer at a time, DuckDB views, what is missing, statistics, compaction."""
