"""The single pass over a video: it is decoded once, and shot detectors and stream measures see every frame."""
