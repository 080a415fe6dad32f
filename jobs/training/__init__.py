"""Around `model.training`: samples of a release, Ray Train, what a run folder says of itself."""
