"""Whether something is wrong with an experiment: evidence, checks, reports, alerts."""
