"""Drills: when they are due, how one begins, and what it showed."""
