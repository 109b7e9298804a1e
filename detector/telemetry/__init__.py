"""What an operator sees of the detector itself: metrics, health, logs."""
