"""Run a model on another engine: what stands for its `forward`, and the engines themselves."""
