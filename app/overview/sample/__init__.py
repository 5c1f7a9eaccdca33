"""The sample: a small recommender that Baton watches, and that can be broken on purpose."""
