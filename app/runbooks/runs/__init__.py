"""Following a runbook: runs, drills, and what they tell of it."""
