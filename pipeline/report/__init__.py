"""The report of a data set: one HTML file that contains its pictures and makes no network request."""
