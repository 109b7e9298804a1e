"""The CloudTrail record: as little of it as matching needs, and the whole as evidence."""
