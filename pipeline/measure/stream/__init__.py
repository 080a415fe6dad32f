"""Stream measures: each sees the frames of a video as they are decoded, and gives its columns for any span of them."""
