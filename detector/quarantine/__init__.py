"""What could not be understood: kept in a folder or under an S3 prefix, and read once more."""
