"""Pages for people, made of the exported files: nothing else is asked."""
