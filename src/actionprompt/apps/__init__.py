"""Applications of a model: teach it classes, explain it, fuse and tune models, check clips."""
