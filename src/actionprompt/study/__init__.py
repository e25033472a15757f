"""What researchers do: protocols, their records, tables and plots, and what methods cost."""
