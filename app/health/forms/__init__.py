"""What people fill in: sources, panels, service levels and data inputs."""
