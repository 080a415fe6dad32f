"""Ray, and only here: how this process reaches a cluster, and the graphs that run the other rooms on it."""
