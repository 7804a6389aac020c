"""Recordings: files to words, at once or as jobs with progress and a callback."""
