"""Rule files, their languages, and the matcher that they compile to."""
