"""The tables of a data set, one file each: columns with Arrow type, unit and meaning."""
