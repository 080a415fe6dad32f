"""The report: one HTML file a data set, which carries its pictures and asks the network for nothing."""
