"""What is seen across features: Now, search, set-up, health and metrics. Reads, and writes nothing."""
