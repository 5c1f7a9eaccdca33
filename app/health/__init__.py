"""What serving and drift APIs say about each model, and when it is news."""
