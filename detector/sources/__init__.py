"""Where deliveries come from: thin I/O, one module for each way."""
