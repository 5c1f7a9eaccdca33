"""What every feature stands on: database, jobs, clock, errors. Knows no feature."""
