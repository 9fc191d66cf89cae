"""Run the network where the picture changed, exactly."""
