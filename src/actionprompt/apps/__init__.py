"""What people do with a model: teach it, look inside it, fuse and tune it, check their clips."""
