"""OpenAI's speech API: transcriptions, speech, models, and realtime transcription."""
