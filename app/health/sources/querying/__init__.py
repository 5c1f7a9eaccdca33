"""Queries in PromQL, and the API that answers them."""
