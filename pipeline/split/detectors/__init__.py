"""Shot detectors behind one protocol, one algorithm in each file."""
