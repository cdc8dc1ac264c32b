"""Pictures of an experiment's series, with matplotlib; nothing of pyplot, whose state is global."""
