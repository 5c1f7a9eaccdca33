"""The benchmarks that the README quotes: `make bench`."""
