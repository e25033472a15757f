"""The page: a local web server for people without a terminal. The server imports no torch; `work` does the work."""
