"""The alert, and how it reads for a person and for a machine."""
