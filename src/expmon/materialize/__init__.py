"""What must be written, and writing it: `plan` is pure, `run` is not."""
