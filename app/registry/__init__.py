"""ML models and teams: who owns what, how they are paged, and which alerts belong to which model."""
