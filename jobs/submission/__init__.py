"""What `reelmill submit` does between here and a cluster: reaching it, what is sent along, and the job's log."""
