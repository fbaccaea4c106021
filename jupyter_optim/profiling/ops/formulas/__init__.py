"""What ops cost by their definitions, from the shapes that a trace has of their inputs."""
