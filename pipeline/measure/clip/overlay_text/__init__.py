"""Writing laid over the picture, writing in the scene, and logos that stand still."""
