"""What `reelmill train` adds to `model.training`: samples from a release, Ray Train workers, the settings of a run."""
