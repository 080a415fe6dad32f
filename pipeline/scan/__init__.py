"""The single pass over a video: frames go by once, and shot detectors and stream measures see each."""
