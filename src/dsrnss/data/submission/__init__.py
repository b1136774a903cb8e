"""Archives for the test servers: written, and checked as a server would."""
