"""Reports for people: the page of a run, its pictures and the table of scores."""
