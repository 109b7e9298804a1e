"""The archive: every notification as a record of an Avro file, in a folder or in S3."""
