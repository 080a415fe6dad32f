"""Shot detectors behind one seam, one algorithm a file."""
