"""Where alerts go, and the outbox that brings them there."""
